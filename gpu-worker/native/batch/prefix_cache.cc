#include "batch/prefix_cache.h"

#include <algorithm>

#include "model/error.h"

namespace polygraft {
namespace {

const std::string kInherited;

uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15;
  return hash ^ (hash >> 32);
}

}  // namespace

PrefixCache::PrefixCache(KvAllocator& kv) : kv_(kv), entries_(kv.capacity()) {}

std::optional<uint32_t> PrefixCache::allocate() {
  if (kv_.free_blocks() == 0 && !idle_.empty()) evict(idle_.begin()->second);
  return kv_.allocate();
}

void PrefixCache::retain(uint32_t block) {
  if (is_idle(block)) idle_.erase(entries_[block].idle_since);
  kv_.retain(block);
}

// The last block first: whoever holds a block holds its parent too, so a parent is never idle for longer than its
// children, and eviction takes leaves.
void PrefixCache::release(std::span<const uint32_t> blocks) {
  for (size_t i = blocks.size(); i-- > 0;) {
    kv_.release(blocks[i]);
    if (!is_idle(blocks[i])) continue;
    entries_[blocks[i]].idle_since = ++releases_;
    idle_.emplace(releases_, blocks[i]);
  }
}

std::vector<uint32_t> PrefixCache::find(const std::string& scope, std::span<const uint32_t> tokens) const {
  std::vector<uint32_t> blocks;
  uint64_t parent = 0;
  for (; tokens.size() >= kKvBlockTokens; tokens = tokens.subspan(kKvBlockTokens)) {
    const auto block = lookup(key(scope, parent, tokens.first(kKvBlockTokens)));
    if (!block) break;
    blocks.push_back(*block);
    parent = entries_[*block].id;
  }
  return blocks;
}

uint32_t PrefixCache::insert(const std::string& scope, std::span<const uint32_t> tokens,
                             std::span<const uint32_t> blocks) {
  const uint32_t block = blocks.back();
  const uint64_t parent = blocks.size() == 1 ? 0 : entries_[blocks[blocks.size() - 2]].id;
  if ((blocks.size() > 1 && parent == 0) || entries_[block].id != 0) {
    throw Error(PG_INTERNAL, "", "a KV block was cached out of order");
  }
  const Key wanted = key(scope, parent, tokens.last(kKvBlockTokens));
  if (const auto twin = lookup(wanted)) {
    retain(*twin);
    kv_.release(block);
    return *twin;
  }
  Entry& entry = entries_[block];
  index_.emplace(wanted.hash, block);
  entry.id = ++ids_;
  entry.parent = parent;
  entry.scope = wanted.scope;
  entry.hash = wanted.hash;
  std::copy(wanted.tokens.begin(), wanted.tokens.end(), entry.tokens.begin());
  kv_.retain(block);
  return block;
}

PrefixCache::Key PrefixCache::key(const std::string& scope, uint64_t parent, std::span<const uint32_t> tokens) const {
  const std::string& own_scope = parent == 0 ? scope : kInherited;
  uint64_t hash = mix(own_scope.size(), parent);
  for (const char byte : own_scope) hash = mix(hash, static_cast<unsigned char>(byte));
  for (const uint32_t token : tokens) hash = mix(hash, token);
  return {parent, own_scope, tokens, hash};
}

std::optional<uint32_t> PrefixCache::lookup(const Key& key) const {
  const auto [first, last] = index_.equal_range(key.hash);
  for (auto candidate = first; candidate != last; ++candidate) {
    const Entry& entry = entries_[candidate->second];
    if (entry.parent == key.parent && entry.scope == key.scope && std::ranges::equal(entry.tokens, key.tokens)) {
      return candidate->second;
    }
  }
  return std::nullopt;
}

void PrefixCache::evict(uint32_t block) {
  Entry& entry = entries_[block];
  idle_.erase(entry.idle_since);
  const auto [first, last] = index_.equal_range(entry.hash);
  index_.erase(std::find_if(first, last, [block](const auto& candidate) { return candidate.second == block; }));
  entry.id = 0;
  entry.scope.clear();
  kv_.release(block);
}

}  // namespace polygraft
