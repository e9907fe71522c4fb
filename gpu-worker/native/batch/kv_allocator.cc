#include "batch/kv_allocator.h"

#include "model/error.h"

namespace polygraft {

KvAllocator::KvAllocator(uint32_t blocks) : holders_(blocks, 0) {
  free_.reserve(blocks);
  for (uint32_t block = blocks; block-- > 0;) free_.push_back(block);
}

std::optional<uint32_t> KvAllocator::allocate() {
  if (free_.empty()) return std::nullopt;
  const uint32_t block = free_.back();
  free_.pop_back();
  holders_[block] = 1;
  return block;
}

void KvAllocator::retain(uint32_t block) {
  if (holders_.at(block) == 0) throw Error(PG_INTERNAL, "", "a free KV block cannot be shared");
  ++holders_[block];
}

void KvAllocator::release(uint32_t block) {
  if (holders_.at(block) == 0) throw Error(PG_INTERNAL, "", "a KV block was released twice");
  if (--holders_[block] == 0) free_.push_back(block);
}

}  // namespace polygraft
