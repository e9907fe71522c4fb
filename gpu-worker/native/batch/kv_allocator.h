// Which KV blocks are free, and how many sequences hold each of the others.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace polygraft {

// Hands out the blocks of a KvPool by number. Blocks are counted references, so that sequences can share a prefix: a
// block is free again when its last holder releases it. Not thread-safe: the step loop owns it.
class KvAllocator {
 public:
  explicit KvAllocator(uint32_t blocks);

  // A block with one holder, or nothing when all are in use.
  std::optional<uint32_t> allocate();
  // Adds a holder to a block in use.
  void retain(uint32_t block);
  // Takes a holder away; the last one frees the block.
  void release(uint32_t block);

  uint32_t capacity() const { return static_cast<uint32_t>(holders_.size()); }
  uint32_t free_blocks() const { return static_cast<uint32_t>(free_.size()); }
  uint32_t used_blocks() const { return capacity() - free_blocks(); }
  uint32_t holders(uint32_t block) const { return holders_.at(block); }

 private:
  std::vector<uint32_t> holders_;  // by block; 0: free
  std::vector<uint32_t> free_;     // a stack: the block freed last is the warmest in the caches
};

}  // namespace polygraft
