#include "batch/kv_allocator.h"

#include <random>
#include <set>

#include "test/check.h"

using polygraft::KvAllocator;

TEST(hands_out_each_block_once) {
  KvAllocator kv(5);
  std::set<uint32_t> blocks;
  for (int i = 0; i < 5; ++i) blocks.insert(kv.allocate().value());
  CHECK_EQ(blocks.size(), 5u);
  CHECK(!kv.allocate());
  CHECK_EQ(kv.used_blocks(), 5u);
}

TEST(a_shared_block_is_free_after_its_last_holder) {
  KvAllocator kv(1);
  const uint32_t block = kv.allocate().value();
  kv.retain(block);
  kv.release(block);
  CHECK(!kv.allocate());
  kv.release(block);
  CHECK_EQ(kv.free_blocks(), 1u);
}

TEST(misuse_is_caught) {
  KvAllocator kv(2);
  CHECK_THROWS(PG_INTERNAL, "", "released twice", kv.release(0));
  CHECK_THROWS(PG_INTERNAL, "", "cannot be shared", kv.retain(1));
}

// Against a model: a multiset of holders.
TEST(random_traces_never_lose_or_double_a_block) {
  std::mt19937 random(7);
  KvAllocator kv(17);
  std::vector<uint32_t> held;
  for (int i = 0; i < 20000; ++i) {
    const uint32_t dice = random() % 3;
    if (dice == 0) {
      const auto block = kv.allocate();
      CHECK_EQ(block.has_value(), std::set<uint32_t>(held.begin(), held.end()).size() < 17);
      if (block) held.push_back(*block);
    } else if (!held.empty()) {
      const size_t at = random() % held.size();
      if (dice == 1 && held.size() < 40) {
        kv.retain(held[at]);
        held.push_back(held[at]);
      } else {
        kv.release(held[at]);
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
      }
    }
    CHECK_EQ(kv.used_blocks(), std::set<uint32_t>(held.begin(), held.end()).size());
  }
  for (const uint32_t block : held) kv.release(block);
  CHECK_EQ(kv.free_blocks(), 17u);
}
