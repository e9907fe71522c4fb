// What it means that a slot's adapter is replaced while sequences run with it.
#include "batch/step_runner.h"
#include "test/batch/tiny_engine.h"
#include "test/check.h"

using namespace polygraft;
using namespace polygraft::test;

namespace {

// Two contents of one adapter, each in a slot, and a runner.
struct Replacing {
  explicit Replacing(const StepLimits& limits = {.max_sequences = 4, .max_step_tokens = 256}, uint32_t blocks = 64)
      : kv(engine.kv_pool(blocks)),
        runner(engine.config, *engine.backend, *engine.model, *kv, limits, kContext),
        before(engine.slots.attach(tiny_adapter(engine.config, 1, 4, 0x7f), "before")),
        after(engine.slots.attach(tiny_adapter(engine.config, 2, 8, 0x7f), "after")) {}

  SequenceOptions of(uint32_t slot, uint64_t id, std::vector<uint32_t> prompt, uint32_t max_tokens) {
    SequenceOptions options = request(id, std::move(prompt), max_tokens);
    options.logprobs = true;
    options.adapter = engine.slots.lease(slot);
    return options;
  }
  Outcome alone(uint32_t slot, std::vector<uint32_t> prompt, uint32_t max_tokens) {
    return engine.alone(of(slot, 99, std::move(prompt), max_tokens));
  }
  void steps(uint32_t count) {
    while (count-- > 0) runner.step(report);
    collect_now();
  }
  void finish() {
    while (runner.step(report)) {
    }
    collect_now();
  }
  void collect_now() {
    collect(report, outcomes);
    report.clear();
  }

  TinyEngine engine;
  std::unique_ptr<KvPool> kv;
  StepRunner runner;
  uint32_t before, after;
  Report report;
  Outcomes outcomes;
};

std::vector<uint32_t> text(uint32_t size) {
  std::vector<uint32_t> tokens(size);
  for (uint32_t i = 0; i < size; ++i) tokens[i] = (i * 7 + 3) % 96;
  return tokens;
}

std::vector<uint32_t> tokens_of(const Outcome& outcome) {
  std::vector<uint32_t> tokens;
  for (const pg_event& event : outcome.tokens) tokens.push_back(event.token);
  return tokens;
}

}  // namespace

TEST(a_running_sequence_goes_on_with_the_new_content) {
  Replacing test;
  const Outcome old = test.alone(test.before, text(20), 30);
  test.runner.submit(test.of(test.before, 1, text(20), 30), test.report);
  test.steps(10);
  test.engine.slots.replace(test.before, test.after);
  test.finish();
  const Outcome& outcome = test.outcomes[1];
  CHECK((outcome.replaced == std::vector<uint32_t>{test.after}));
  CHECK_EQ(outcome.tokens_before, 10u);
  CHECK_EQ(outcome.tokens.size(), 30u);
  for (size_t i = 0; i < 10; ++i) CHECK_EQ(outcome.tokens[i].logprob, old.tokens[i].logprob);
  CHECK(outcome.tokens[10].logprob != old.tokens[10].logprob);
}

// As exact as can be: the same bits for the same replacement between the same tokens, whoever shares the batch.
TEST(what_follows_depends_on_where_it_was_replaced_and_on_nothing_else) {
  Outcome expected;
  for (const uint32_t others : {0u, 3u}) {
    Replacing test;
    for (uint32_t i = 0; i < others; ++i) test.runner.submit(request(10 + i, text(5 + 30 * i), 60), test.report);
    test.runner.submit(test.of(test.before, 1, text(20), 30), test.report);
    while (test.outcomes[1].tokens.size() < 7) test.steps(1);
    test.engine.slots.replace(test.before, test.after);
    test.finish();
    if (others == 0) expected = test.outcomes[1];
    CHECK(same(test.outcomes[1], expected));
    for (uint32_t i = 0; i < others; ++i) {
      CHECK(same(test.outcomes[10 + i], test.engine.alone(request(10 + i, text(5 + 30 * i), 60))));
    }
  }
}

TEST(other_slots_of_the_old_content_keep_it) {
  Replacing test;
  const Outcome old = test.alone(test.before, text(20), 30);
  const uint64_t bytes = test.engine.slots.bytes_used();
  const uint32_t alias = test.engine.slots.alias(test.before);
  CHECK_EQ(test.engine.slots.bytes_used(), bytes);
  test.runner.submit(test.of(test.before, 1, text(20), 30), test.report);
  test.runner.submit(test.of(alias, 2, text(20), 30), test.report);
  test.steps(10);
  test.engine.slots.replace(alias, test.after);
  test.finish();
  CHECK(same(test.outcomes[1], old));
  CHECK(test.outcomes[1].replaced.empty());
  CHECK((test.outcomes[2].replaced == std::vector<uint32_t>{test.after}));
}

TEST(one_that_waits_begins_with_the_new_content) {
  Replacing test({.max_sequences = 1, .max_step_tokens = 256});
  const Outcome fresh = test.alone(test.after, text(20), 10);
  test.runner.submit(request(1, text(5), 20), test.report);
  test.runner.submit(test.of(test.before, 2, text(20), 10), test.report);
  test.steps(3);
  test.engine.slots.replace(test.before, test.after);
  test.finish();
  CHECK(same(test.outcomes[2], fresh));
  CHECK((test.outcomes[2].replaced == std::vector<uint32_t>{test.after}));
  CHECK_EQ(test.outcomes[2].tokens_before, 0u);
}

TEST(equal_content_is_no_replacement) {
  Replacing test;
  const uint32_t again = test.engine.slots.attach(tiny_adapter(test.engine.config, 1, 4, 0x7f), "before");
  const Outcome old = test.alone(test.before, text(20), 30);
  test.runner.submit(test.of(test.before, 1, text(20), 30), test.report);
  test.steps(10);
  test.engine.slots.replace(test.before, again);
  test.finish();
  CHECK(same(test.outcomes[1], old));
  CHECK(test.outcomes[1].replaced.empty());
}

TEST(prefixes_of_either_content_stay_apart_and_mixed_ones_are_not_shared) {
  Replacing test;
  const uint32_t spare = test.engine.slots.attach(tiny_adapter(test.engine.config, 1, 4, 0x7f), "before");
  test.runner.submit(test.of(test.before, 1, text(100), 200), test.report);
  while (test.outcomes[1].tokens.size() < 60) test.steps(1);  // two full blocks of the old content
  test.engine.slots.replace(test.before, test.after);
  test.finish();
  // A prompt that begins with all that the mixed sequence held: four full blocks.
  std::vector<uint32_t> all = text(100);
  for (const uint32_t token : tokens_of(test.outcomes[1])) all.push_back(token);
  all.resize(290);
  for (const auto& [id, slot, cached] : {std::tuple{2u, test.after, 0u}, std::tuple{3u, spare, 128u}}) {
    test.runner.submit(test.of(slot, id, all, 20), test.report);
    test.finish();
    CHECK_EQ(test.outcomes[id].cached, cached);
    CHECK(same(test.outcomes[id], test.alone(slot, all, 20)));
  }
}

// Its keys and values are gone, so it is computed again, all of it with the new content, and may be shared as such.
TEST(one_that_was_preempted_is_computed_again_with_the_new_content) {
  Replacing test({.max_sequences = 2, .max_step_tokens = 256}, 4);
  test.runner.submit(test.of(test.before, 1, text(60), 130), test.report);
  SequenceOptions urgent = request(2, text(120), 60);
  urgent.priority = 1;
  while (test.outcomes[1].tokens.size() < 20) test.steps(1);
  const std::vector<uint32_t> said = tokens_of(test.outcomes[1]);
  test.runner.submit(urgent, test.report);
  while (test.runner.scheduler().preemptions() == 0) test.steps(1);
  test.engine.slots.replace(test.before, test.after);
  test.finish();
  CHECK(same(test.outcomes[2], test.engine.alone(urgent)));
  // What a request for the new content would go on with after the same output.
  const auto count = static_cast<uint32_t>(test.outcomes[1].tokens_before);
  CHECK(count >= said.size());
  std::vector<uint32_t> all = text(60);
  const std::vector<uint32_t> tokens = tokens_of(test.outcomes[1]);
  all.insert(all.end(), tokens.begin(), tokens.begin() + count);
  SequenceOptions resumed = test.of(test.after, 3, all, 130);
  resumed.resumed = count;
  const Outcome rest = test.engine.alone(resumed);
  CHECK_EQ(rest.tokens.size() + count, tokens.size());
  for (size_t i = 0; i < rest.tokens.size(); ++i) {
    CHECK_EQ(rest.tokens[i].logprob, test.outcomes[1].tokens[count + i].logprob);
  }
}

TEST(the_old_content_goes_when_the_step_after_is_over) {
  Replacing test;
  const uint64_t both = test.engine.slots.bytes_used();
  test.runner.submit(test.of(test.before, 1, text(20), 30), test.report);
  test.steps(5);
  test.engine.slots.replace(test.before, test.after);
  test.steps(1);
  const uint64_t one = test.engine.slots.bytes_used();
  CHECK(one < both);
  test.engine.slots.detach(test.after);
  CHECK_EQ(test.engine.slots.bytes_used(), one);  // the other slot has it too
  test.engine.slots.detach(test.before);
  test.finish();
  CHECK_EQ(test.outcomes[1].tokens.size(), 30u);
  CHECK_EQ(test.engine.slots.bytes_used(), 0u);
}

TEST(slots_that_are_not_there_cannot_be_replaced) {
  Replacing test;
  CHECK_THROWS(PG_NOT_FOUND, "adapter", "no adapter is attached at slot 77", test.engine.slots.replace(77, test.after));
  CHECK_THROWS(PG_NOT_FOUND, "adapter", "no adapter is attached at slot 77", test.engine.slots.replace(test.before, 77));
  CHECK_THROWS(PG_NOT_FOUND, "adapter", "no adapter is attached at slot 77", test.engine.slots.alias(77));
}
