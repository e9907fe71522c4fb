// KV blocks by what they hold, so that requests which begin alike compute their common beginning once.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "batch/kv_allocator.h"
#include "model/backend.h"

namespace polygraft {

// Holds full blocks of kKvBlockTokens tokens under (scope, all tokens from the first on). The scope names what else the
// keys and values depend on: the adapter's content, and the salt of whoever does not want to share.
//
// Blocks form a trie: a block is found under its parent's identity, which is never reused, and its own tokens. Hashes
// only narrow the search; identity and tokens are compared, so there are no false hits. Only full blocks are shared and
// nobody writes into a full block, so there is nothing to copy on write; what it costs is that up to 63 tokens behind
// the last shared block are computed again.
//
// The cache is one more holder of its blocks. A block is idle when the cache is its only holder; idle blocks go, least
// recently used first, when the free ones are used up. All blocks of sequences are allocated and released here. Not
// thread-safe: the step loop owns it.
class PrefixCache {
 public:
  explicit PrefixCache(KvAllocator& kv);

  // A free block, else the one that was idle for the longest time; nothing when sequences hold all of them.
  std::optional<uint32_t> allocate();
  // Adds a holder to a cached block.
  void retain(uint32_t block);
  // Takes a sequence away as holder of its blocks, given in order of position.
  void release(std::span<const uint32_t> blocks);

  // The cached blocks of the longest known beginning of `tokens`, in order; only whole blocks count.
  std::vector<uint32_t> find(const std::string& scope, std::span<const uint32_t> tokens) const;
  // Enters the last of a sequence's `blocks`, which hold the keys and values of `tokens`, kKvBlockTokens each; those
  // before it are in the cache. Returns the block to hold instead of it: itself, or the equal one that was there first,
  // and then the one given is released.
  uint32_t insert(const std::string& scope, std::span<const uint32_t> tokens, std::span<const uint32_t> blocks);

  // Cached blocks that no sequence holds.
  uint32_t idle() const { return static_cast<uint32_t>(idle_.size()); }
  bool is_idle(uint32_t block) const { return entries_[block].id != 0 && kv_.holders(block) == 1; }
  // How many sequences hold a block.
  uint32_t sequences(uint32_t block) const { return kv_.holders(block) - (entries_[block].id != 0 ? 1 : 0); }
  // Blocks that `allocate` can give out, and blocks that sequences hold.
  uint32_t available() const { return kv_.free_blocks() + idle(); }
  uint32_t held() const { return kv_.used_blocks() - idle(); }
  uint32_t capacity() const { return kv_.capacity(); }

 private:
  struct Entry {
    uint64_t id = 0;      // 0: not in the cache
    uint64_t parent = 0;  // id of the block before; 0: the first block
    std::string scope;    // of first blocks; those behind inherit it from their parent
    std::array<uint32_t, kKvBlockTokens> tokens;
    uint64_t hash = 0;
    uint64_t idle_since = 0;  // key in idle_
  };
  // A block as looked up.
  struct Key {
    uint64_t parent;
    const std::string& scope;  // empty behind the first block
    std::span<const uint32_t> tokens;
    uint64_t hash;
  };

  Key key(const std::string& scope, uint64_t parent, std::span<const uint32_t> tokens) const;
  std::optional<uint32_t> lookup(const Key& key) const;
  void evict(uint32_t block);

  KvAllocator& kv_;
  std::vector<Entry> entries_;                         // by block
  std::unordered_multimap<uint64_t, uint32_t> index_;  // hash -> block
  std::map<uint64_t, uint32_t> idle_;                  // least recently used first
  uint64_t ids_ = 0, releases_ = 0;
};

}  // namespace polygraft
