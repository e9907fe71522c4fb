#include "cpu/aligned_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <string>

#include "model/error.h"

namespace polygraft {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kWorthHugePages = kHugePage;
constexpr size_t kChunk = size_t{64} << 20;

}  // namespace

AlignedBuffer::AlignedBuffer(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  // A buffer that is worth huge pages begins at one; the addresses before it are never touched.
  const size_t lead = bytes >= kWorthHugePages ? kHugePage : 0, mapped = bytes + lead;
  void* p = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED)
    throw Error(PG_RESOURCE_EXHAUSTED, "", "the system refused " + std::to_string(bytes) + " bytes of memory");
  auto* start = static_cast<std::byte*>(p);
  if (lead > 0) start += (kHugePage - reinterpret_cast<uintptr_t>(p) % kHugePage) % kHugePage;
#if defined(MADV_HUGEPAGE)
  if (lead > 0) madvise(start, bytes, MADV_HUGEPAGE);
#endif
  memory_ = {start, [p, mapped](std::byte*) { munmap(p, mapped); }};
}

AlignedBuffer BufferArena::take(size_t bytes) {
  if (bytes == 0) return {};
  if (bytes > chunk_.bytes() - used_) {
    chunk_ = AlignedBuffer(std::max(bytes, kChunk));
    used_ = 0;
  }
  AlignedBuffer slice({chunk_.memory_, chunk_.as<std::byte>() + used_}, bytes);
  used_ = std::min(chunk_.bytes(), (used_ + bytes + 63) / 64 * 64);
  return slice;
}

}  // namespace polygraft
