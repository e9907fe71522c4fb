#include "cpu/aligned_buffer.h"

#include <sys/mman.h>

#include "model/error.h"

namespace polygraft {

void AlignedBuffer::Unmap::operator()(std::byte* p) const { munmap(p, bytes); }

AlignedBuffer::AlignedBuffer(size_t bytes) {
  if (bytes == 0) return;
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED)
    throw Error(PG_RESOURCE_EXHAUSTED, "", "the system refused " + std::to_string(bytes) + " bytes of memory");
#if defined(MADV_HUGEPAGE)
  constexpr size_t kWorthHugePages = size_t{4} << 20;
  if (bytes >= kWorthHugePages) madvise(p, bytes, MADV_HUGEPAGE);
#endif
  memory_ = std::unique_ptr<std::byte, Unmap>(static_cast<std::byte*>(p), Unmap{bytes});
}

}  // namespace polygraft
