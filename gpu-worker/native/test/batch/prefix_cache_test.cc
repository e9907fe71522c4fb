#include "batch/prefix_cache.h"

#include <map>
#include <random>

#include "test/check.h"

using namespace polygraft;

namespace {

using Tokens = std::vector<uint32_t>;

Tokens counting(uint32_t blocks, uint32_t first = 0) {
  Tokens tokens(size_t{blocks} * kKvBlockTokens);
  for (uint32_t& token : tokens) token = first++;
  return tokens;
}

// Allocates and caches the blocks of `tokens`, beginning with those that are there, as a sequence does.
std::vector<uint32_t> hold(PrefixCache& cache, const std::string& scope, const Tokens& tokens) {
  std::vector<uint32_t> blocks = cache.find(scope, tokens);
  for (const uint32_t block : blocks) cache.retain(block);
  while (blocks.size() < tokens.size() / kKvBlockTokens) {
    const auto block = cache.allocate();
    if (!block) break;
    blocks.push_back(*block);
    blocks.back() = cache.insert(scope, std::span(tokens).first(blocks.size() * kKvBlockTokens), blocks);
  }
  return blocks;
}

}  // namespace

TEST(finds_the_longest_beginning_in_whole_blocks) {
  KvAllocator kv(8);
  PrefixCache cache(kv);
  const Tokens tokens = counting(3);
  const auto blocks = hold(cache, "a", tokens);
  CHECK_EQ(blocks.size(), 3u);
  CHECK(cache.find("a", tokens) == blocks);
  CHECK(cache.find("a", std::span(tokens).first(191)) == std::vector(blocks.begin(), blocks.begin() + 2));
  CHECK(cache.find("a", std::span(tokens).first(63)).empty());
  Tokens other = tokens;
  other[64] = 9999;
  CHECK_EQ(cache.find("a", other).size(), 1u);
  // The same tokens behind another beginning are another block.
  CHECK(cache.find("a", std::span(tokens).subspan(64)).empty());
  CHECK(cache.find("b", tokens).empty());
  CHECK(cache.find("", tokens).empty());
}

TEST(equal_blocks_computed_twice_become_one) {
  KvAllocator kv(8);
  PrefixCache cache(kv);
  const Tokens tokens = counting(2);
  std::vector<uint32_t> one = {*cache.allocate(), *cache.allocate()}, two = {*cache.allocate(), *cache.allocate()};
  for (const auto held : {&one, &two}) {
    for (size_t n = 1; n <= 2; ++n) {
      (*held)[n - 1] = cache.insert("", std::span(tokens).first(n * kKvBlockTokens), std::span(*held).first(n));
    }
  }
  CHECK(one == two);
  CHECK_EQ(cache.held(), 2u);
  CHECK_EQ(kv.free_blocks(), 6u);
  cache.release(one);
  CHECK_EQ(cache.idle(), 0u);
  cache.release(two);
  CHECK_EQ(cache.idle(), 2u);
}

TEST(free_blocks_go_first_then_the_least_recently_used_leaves) {
  KvAllocator kv(6);
  PrefixCache cache(kv);
  const Tokens old = counting(2), fresh = counting(2, 1000);
  cache.release(hold(cache, "", old));
  cache.release(hold(cache, "", fresh));
  cache.release(hold(cache, "", old));  // used again
  CHECK_EQ(cache.available(), 6u);
  CHECK_EQ(cache.held(), 0u);
  for (int i = 0; i < 2; ++i) CHECK(cache.allocate());
  CHECK_EQ(cache.idle(), 4u);
  CHECK(cache.allocate());
  CHECK_EQ(cache.find("", fresh).size(), 1u);  // its leaf went
  CHECK(cache.allocate());
  CHECK(cache.find("", fresh).empty());
  CHECK_EQ(cache.find("", old).size(), 2u);
  CHECK(cache.allocate());
  CHECK(cache.allocate());
  CHECK(!cache.allocate());
  CHECK(cache.find("", old).empty());
}

TEST(held_blocks_are_never_evicted) {
  KvAllocator kv(4);
  PrefixCache cache(kv);
  const Tokens tokens = counting(2);
  const auto held = hold(cache, "", tokens);
  cache.release(hold(cache, "", tokens));
  CHECK_EQ(cache.held(), 2u);
  CHECK(cache.allocate() && cache.allocate() && !cache.allocate());
  CHECK(cache.find("", tokens) == held);
}

TEST(a_block_behind_one_that_is_not_cached_is_refused) {
  KvAllocator kv(4);
  PrefixCache cache(kv);
  const Tokens tokens = counting(2);
  const std::vector<uint32_t> blocks = {*cache.allocate(), *cache.allocate()};
  CHECK_THROWS(PG_INTERNAL, "", "out of order", cache.insert("", tokens, blocks));
}

// Against a model that knows what was written into each block. The alphabet is so small that beginnings collide often.
TEST(random_traces_find_only_what_was_written) {
  std::mt19937 random(11);
  KvAllocator kv(12);
  PrefixCache cache(kv);
  struct Held {
    std::string scope;
    Tokens tokens;
    std::vector<uint32_t> blocks;
  };
  std::vector<Held> held;
  std::map<uint32_t, std::pair<std::string, Tokens>> written;  // block -> scope, tokens from the first on
  uint64_t hits = 0;
  for (int i = 0; i < 20000; ++i) {
    if (random() % 2 == 0 || held.empty()) {
      Held next{random() % 3 == 0 ? "x" : "", {}, {}};
      const uint32_t count = 1 + random() % 5;
      for (uint32_t b = 0; b < count; ++b) next.tokens.insert(next.tokens.end(), kKvBlockTokens, random() % 2);
      const auto found = cache.find(next.scope, next.tokens);
      hits += found.size();
      for (size_t b = 0; b < found.size(); ++b) {
        const Tokens beginning(next.tokens.begin(), next.tokens.begin() + static_cast<std::ptrdiff_t>((b + 1) * 64));
        CHECK(written.at(found[b]) == std::pair(next.scope, beginning));
      }
      next.blocks = hold(cache, next.scope, next.tokens);
      for (size_t b = 0; b < next.blocks.size(); ++b) {
        const Tokens beginning(next.tokens.begin(), next.tokens.begin() + static_cast<std::ptrdiff_t>((b + 1) * 64));
        written[next.blocks[b]] = {next.scope, beginning};
      }
      held.push_back(std::move(next));
    } else {
      const size_t at = random() % held.size();
      cache.release(held[at].blocks);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
    }
    // Whoever holds blocks still finds them.
    for (const Held& one : held) {
      CHECK(cache.find(one.scope, std::span(one.tokens).first(one.blocks.size() * kKvBlockTokens)) == one.blocks);
    }
    CHECK_EQ(cache.held() + cache.available(), 12u);
  }
  CHECK(hits > 1000);
  for (const Held& one : held) cache.release(one.blocks);
  CHECK_EQ(cache.held(), 0u);
}
