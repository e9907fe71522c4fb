// Memory for packed weights and caches: 64-byte aligned, zeroed, on huge pages where the system gives them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace polygraft {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Pages that are never touched cost nothing. Throws Error(PG_RESOURCE_EXHAUSTED) if the system has no more.
  explicit AlignedBuffer(size_t bytes);

  size_t bytes() const { return memory_.get_deleter().bytes; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(memory_.get());
  }

 private:
  struct Unmap {
    size_t bytes;
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte, Unmap> memory_{nullptr, Unmap{0}};
};

}  // namespace polygraft
