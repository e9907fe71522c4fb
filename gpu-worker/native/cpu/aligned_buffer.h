// Memory for packed weights and caches: 64-byte aligned, zeroed, on huge pages where the system gives them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace polygraft {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Pages that are never touched cost nothing. Throws Error(PG_RESOURCE_EXHAUSTED) if the system has no more.
  explicit AlignedBuffer(size_t bytes);

  size_t bytes() const { return bytes_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(memory_.get());
  }

 private:
  friend class BufferArena;
  AlignedBuffer(std::shared_ptr<std::byte> memory, size_t bytes) : memory_(std::move(memory)), bytes_(bytes) {}

  std::shared_ptr<std::byte> memory_;  // of an arena: a slice that keeps its chunk
  size_t bytes_ = 0;
};

// Hands out buffers that lie one after the other in large chunks. The matrices of a small model would each be too small
// for a huge page, and then a decode step waits for an address translation every 4 KiB. A chunk lives as long as the
// last buffer in it. Not for several threads at once.
class BufferArena {
 public:
  AlignedBuffer take(size_t bytes);

 private:
  AlignedBuffer chunk_;
  size_t used_ = 0;
};

}  // namespace polygraft
