#include "abi/memory_plan.h"

#include "test/batch/tiny_engine.h"
#include "test/check.h"

using namespace polygraft;

namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kBlock = 100'000;

EngineOptions options(uint64_t memory) {
  EngineOptions options;
  options.memory_bytes = memory;
  return options;
}

}  // namespace

TEST(the_parts_add_up_to_the_whole) {
  const ModelConfig config = test::tiny_config();
  const MemoryPlan plan = plan_memory(options(1024 * kMiB), config, 300 * kMiB, kBlock);
  CHECK_EQ(plan.weights, 300 * kMiB);
  CHECK_EQ(plan.total(), 1024 * kMiB);
  // All sequences at full length, and no more; adapters get the rest.
  CHECK_EQ(plan.kv, 64 * (test::kContext / kKvBlockTokens) * kBlock);
  CHECK(plan.adapters > 100 * kMiB && plan.host_adapters - plan.adapters <= 1);
}

TEST(a_larger_vocabulary_leaves_less) {
  ModelConfig config = test::tiny_config();
  const MemoryPlan small = plan_memory(options(1024 * kMiB), config, kMiB, kBlock);
  config.vocab_size = 150'000;  // its tokenizer alone takes some hundred bytes a token, twice
  const MemoryPlan large = plan_memory(options(1024 * kMiB), config, kMiB, kBlock);
  CHECK(large.process > small.process + 200 * kMiB);
  CHECK(large.scratch > small.scratch + 50 * kMiB);
  CHECK_EQ(large.total(), 1024 * kMiB);
}

TEST(what_is_given_is_kept) {
  EngineOptions given = options(1024 * kMiB);
  given.kv_bytes = 77 * kMiB;
  given.adapter_bytes = 33 * kMiB;
  const MemoryPlan plan = plan_memory(given, test::tiny_config(), kMiB, kBlock);
  CHECK_EQ(plan.kv, 77 * kMiB);
  CHECK_EQ(plan.adapters, 33 * kMiB);
  CHECK_EQ(plan.total(), 1024 * kMiB);
  given.host_adapter_bytes = 5 * kMiB;
  CHECK_EQ(plan_memory(given, test::tiny_config(), kMiB, kBlock).host_adapters, 5 * kMiB);
}

TEST(too_little_names_what_would_do) {
  const ModelConfig config = test::tiny_config();
  CHECK_THROWS(PG_INVALID_ARGUMENT, "memory_bytes", "memory is 300 MiB, at least",
               plan_memory(options(300 * kMiB), config, 300 * kMiB, kBlock));
  // The least that is named does.
  uint64_t least = 300;
  for (;; ++least) {
    try {
      CHECK_EQ(plan_memory(options(least * kMiB), config, 300 * kMiB, kBlock).total(), least * kMiB);
      break;
    } catch (const Error& e) {
      REQUIRE(least < 1000);
    }
  }
  CHECK_THROWS(PG_INVALID_ARGUMENT, "memory_bytes", "at least " + std::to_string(least) + " MiB",
               plan_memory(options((least - 1) * kMiB), config, 300 * kMiB, kBlock));
}
