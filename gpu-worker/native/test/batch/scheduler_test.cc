#include "batch/scheduler.h"

#include <algorithm>
#include <map>
#include <random>

#include "model/backend.h"
#include "test/check.h"

using namespace polygraft;

namespace {

constexpr uint32_t kContext = 4096;

std::unique_ptr<Sequence> sequence(uint64_t id, uint32_t prompt, uint32_t max_tokens, int32_t priority = 0) {
  SequenceOptions options;
  options.id = id;
  options.prompt.assign(prompt, 1);
  options.max_tokens = max_tokens;
  options.priority = priority;
  return std::make_unique<Sequence>(std::move(options), kContext);
}

// Does what a runner does with a plan: computes it, and appends a token where one is due.
std::vector<uint64_t> advance(Scheduler& scheduler, const std::vector<Chunk>& plan) {
  std::vector<uint64_t> ended;
  for (const auto& [sequence, count] : plan) {
    sequence->computed += count;
    if (sequence->computed == sequence->size() && !sequence->finish()) sequence->append(1);
    if (sequence->pending() == 0) ended.push_back(sequence->options().id);
  }
  for (const uint64_t id : ended) scheduler.remove(id);
  return ended;
}

std::map<uint64_t, uint32_t> by_id(const std::vector<Chunk>& plan) {
  std::map<uint64_t, uint32_t> counts;
  for (const auto& [sequence, count] : plan) counts[sequence->options().id] = count;
  return counts;
}

using Counts = std::map<uint64_t, uint32_t>;

}  // namespace

TEST(decodes_go_first_and_prompts_take_the_rest_in_chunks) {
  KvAllocator kv(100);
  Scheduler scheduler({.max_sequences = 8, .max_step_tokens = 100, .max_prefill_tokens = 100}, kv);
  scheduler.add(sequence(1, 10, 50));
  CHECK((by_id(scheduler.plan()) == Counts{{1, 10}}));
  advance(scheduler, {{scheduler.sequences().at(1).get(), 10}});
  scheduler.add(sequence(2, 250, 5));
  scheduler.add(sequence(3, 30, 5));
  auto plan = scheduler.plan();
  CHECK((by_id(plan) == Counts{{1, 1}, {2, 99}}));
  advance(scheduler, plan);
  plan = scheduler.plan();
  CHECK((by_id(plan) == Counts{{1, 1}, {2, 99}}));
  advance(scheduler, plan);
  plan = scheduler.plan();
  CHECK((by_id(plan) == Counts{{1, 1}, {2, 52}, {3, 30}}));
  advance(scheduler, plan);
  CHECK((by_id(scheduler.plan()) == Counts{{1, 1}, {2, 1}, {3, 1}}));
}

TEST(higher_priority_starts_first_and_equals_start_in_order) {
  KvAllocator kv(100);
  Scheduler scheduler({.max_sequences = 2, .max_step_tokens = 64}, kv);
  scheduler.add(sequence(1, 4, 4));
  scheduler.add(sequence(2, 4, 4));
  scheduler.add(sequence(3, 4, 4, 5));
  CHECK((by_id(scheduler.plan()) == Counts{{1, 4}, {3, 4}}));
  CHECK_EQ(scheduler.waiting(), 1u);
}

TEST(a_prompt_waits_until_all_its_blocks_are_there) {
  KvAllocator kv(4);
  Scheduler scheduler({.max_sequences = 8, .max_step_tokens = 512}, kv);
  scheduler.add(sequence(1, 64 * 3, 1));
  scheduler.add(sequence(2, 64 * 2, 1));
  scheduler.add(sequence(3, 10, 1));
  auto plan = scheduler.plan();
  CHECK((by_id(plan) == Counts{{1, 192}}));  // 3 fits, but does not overtake 2
  CHECK((advance(scheduler, plan) == std::vector<uint64_t>{1}));
  CHECK((by_id(scheduler.plan()) == Counts{{2, 128}, {3, 10}}));
}

TEST(what_can_never_fit_is_refused) {
  KvAllocator kv(4);
  Scheduler scheduler({}, kv);
  CHECK_THROWS(PG_INVALID_ARGUMENT, "prompt", "257 tokens, the KV blocks hold 256",
               scheduler.add(sequence(1, 200, 57)));
  scheduler.add(sequence(2, 200, 56));
  CHECK_THROWS(PG_INVALID_ARGUMENT, "id", "already there", scheduler.add(sequence(2, 1, 1)));
}

TEST(the_youngest_of_the_lowest_priority_gives_way) {
  KvAllocator kv(4);
  Scheduler scheduler({.max_sequences = 8, .max_step_tokens = 512}, kv);
  scheduler.add(sequence(1, 60, 100, 0));
  advance(scheduler, scheduler.plan());
  scheduler.add(sequence(2, 60, 100, 1));
  while (scheduler.preemptions() == 0 && !scheduler.sequences().empty()) advance(scheduler, scheduler.plan());
  // 1 came first, but 2 is more important.
  REQUIRE(scheduler.sequences().contains(1));
  const Sequence& victim = *scheduler.sequences().at(1);
  CHECK_EQ(victim.computed, 0u);
  CHECK(victim.blocks.empty());
  CHECK(victim.output_count() > 60);  // what it said is kept
  CHECK(!scheduler.sequences().at(2)->blocks.empty());
  int steps = 0;
  while (!scheduler.sequences().empty() && ++steps < 1000) advance(scheduler, scheduler.plan());
  CHECK_EQ(kv.used_blocks(), 0u);
}

TEST(scored_prompts_take_bounded_chunks) {
  KvAllocator kv(100);
  Scheduler scheduler({.max_sequences = 8, .max_step_tokens = 512, .max_scored_rows = 16}, kv);
  SequenceOptions options;
  options.id = 1;
  options.prompt.assign(40, 1);
  options.prompt_logprobs = true;
  scheduler.add(std::make_unique<Sequence>(std::move(options), kContext));
  scheduler.add(sequence(2, 100, 1));
  const auto plan = scheduler.plan();
  CHECK((by_id(plan) == Counts{{1, 16}, {2, 100}}));
  // max_tokens is 0: the last prompt token predicts nothing that is wanted.
  CHECK_EQ(scheduler.sequences().at(1)->pending(), 39u);
}

// Random traces keep every promise: budgets, rank order of admission, no block lost, everybody ends.
TEST(random_traces) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const auto up_to = [&](uint32_t most) { return 1 + static_cast<uint32_t>(random() % most); };
    KvAllocator kv(8 + random() % 40);
    const uint32_t fits = kv.capacity() * kKvBlockTokens;
    StepLimits limits;
    limits.max_sequences = up_to(12);
    limits.max_step_tokens = limits.max_sequences + random() % 200;
    Scheduler scheduler(limits, kv);
    std::map<uint64_t, uint32_t> expected;  // id -> output tokens
    uint64_t next = 1;
    int steps = 0;
    while (next <= 60 || !scheduler.sequences().empty()) {
      REQUIRE(++steps < 100000);
      if (next <= 60 && random() % 3 == 0) {
        const uint32_t prompt = up_to(std::min(fits - 1, 400u));
        const uint32_t outputs = up_to(std::min(fits - prompt, 200u));
        expected[next] = outputs;
        scheduler.add(sequence(next++, prompt, outputs, static_cast<int32_t>(random() % 3)));
      }
      if (random() % 40 == 0 && !scheduler.sequences().empty()) {
        scheduler.remove(scheduler.sequences().begin()->first);
      }
      const auto plan = scheduler.plan();
      CHECK_EQ(plan.empty(), scheduler.sequences().empty());
      CHECK(plan.size() <= limits.max_sequences);
      uint32_t tokens = 0, blocks = 0;
      for (const auto& [sequence, count] : plan) {
        tokens += count;
        CHECK(count > 0);
        CHECK(sequence->blocks.size() * kKvBlockTokens >= sequence->computed + count);
      }
      for (const auto& [id, sequence] : scheduler.sequences()) blocks += static_cast<uint32_t>(sequence->blocks.size());
      CHECK(tokens <= limits.max_step_tokens);
      CHECK_EQ(kv.used_blocks(), blocks);
      for (const auto& [sequence, count] : plan) {
        const bool last = sequence->output_count() + 1 == expected.at(sequence->options().id);
        const bool decodes = sequence->computed + count == sequence->size();
        CHECK(!sequence->finish() || (last && decodes));
      }
      advance(scheduler, plan);
    }
    CHECK_EQ(kv.used_blocks(), 0u);
  }
}
