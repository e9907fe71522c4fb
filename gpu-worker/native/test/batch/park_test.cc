// Adapters that are off the device for a while, and their sequences.
#include "batch/engine_loop.h"
#include "batch/step_runner.h"
#include "test/batch/tiny_engine.h"
#include "test/check.h"

using namespace polygraft;
using namespace polygraft::test;

namespace {

struct Parking {
  explicit Parking(const StepLimits& limits = {.max_sequences = 4, .max_step_tokens = 256}, uint32_t blocks = 64)
      : weights(tiny_adapter(engine.config, 1, 4, 0x7f)),
        kv(engine.kv_pool(blocks)),
        runner(engine.config, *engine.backend, *engine.model, *kv, limits, kContext),
        slot(engine.slots.attach(weights, "one")) {}

  SequenceOptions with_adapter(uint64_t id, uint32_t prompt, uint32_t max_tokens) {
    SequenceOptions options = plain(id, prompt, max_tokens);
    options.adapter = engine.slots.lease(slot);
    return options;
  }
  static SequenceOptions plain(uint64_t id, uint32_t prompt, uint32_t max_tokens) {
    SequenceOptions options = request(id, std::vector<uint32_t>(prompt, 5), max_tokens);
    options.logprobs = true;
    return options;
  }
  bool step() {
    const bool stepped = runner.step(report);
    collect(report, outcomes);
    report.clear();
    return stepped;
  }
  void finish() {
    while (step()) {
    }
  }
  size_t tokens(uint64_t id) { return outcomes[id].tokens.size(); }

  TinyEngine engine;
  AdapterWeights weights;
  std::unique_ptr<KvPool> kv;
  StepRunner runner;
  uint32_t slot;
  Report report;
  Outcomes outcomes;
};

}  // namespace

TEST(what_is_parked_waits_while_others_go_on_and_then_says_the_same) {
  Parking test;
  const Outcome alone = test.engine.alone(test.with_adapter(1, 70, 40));
  test.runner.submit(test.with_adapter(1, 70, 40), test.report);
  test.runner.submit(test.plain(2, 10, 60), test.report);
  for (int i = 0; i < 10; ++i) test.step();
  test.engine.slots.park(test.slot);
  test.runner.submit(test.with_adapter(3, 20, 5), test.report);  // waits too
  const size_t before = test.tokens(1);
  for (int i = 0; i < 20; ++i) CHECK(test.step());
  CHECK_EQ(test.tokens(1), before);
  CHECK_EQ(test.tokens(3), 0u);
  CHECK_EQ(test.tokens(2), before + 20);
  test.engine.slots.resume(test.slot, test.weights);
  test.finish();
  CHECK(same(test.outcomes[1], alone));
  CHECK(test.outcomes[1].replaced.empty());
  CHECK(same(test.outcomes[2], test.engine.alone(test.plain(2, 10, 60))));
  CHECK(same(test.outcomes[3], test.engine.alone(test.with_adapter(3, 20, 5))));
}

TEST(its_memory_is_free_after_the_step) {
  Parking test;
  test.runner.submit(test.with_adapter(1, 10, 40), test.report);
  test.runner.submit(test.plain(2, 10, 40), test.report);
  const uint64_t bytes = test.engine.slots.bytes_used();
  const uint32_t alias = test.engine.slots.alias(test.slot);
  test.step();
  test.engine.slots.park(test.slot);
  test.step();
  CHECK_EQ(test.engine.slots.bytes_used(), 0u);
  test.engine.slots.resume(test.slot, test.weights);
  test.engine.slots.resume(test.slot, test.weights);  // it is there
  CHECK_EQ(test.engine.slots.bytes_used(), bytes);
  CHECK(test.engine.slots.lease(alias)->content() == test.engine.slots.lease(test.slot)->content());
  test.finish();
  CHECK_EQ(test.tokens(1), 40u);
}

TEST(when_all_are_parked_there_is_no_step_to_take) {
  Parking test;
  test.runner.submit(test.with_adapter(1, 10, 20), test.report);
  test.step();
  test.engine.slots.park(test.slot);
  CHECK(!test.step());
  CHECK(test.runner.has_parked() && !test.runner.idle());
  CHECK_EQ(test.runner.load().running, 1u);
  test.engine.slots.resume(test.slot, test.weights);
  test.finish();
  CHECK_EQ(test.tokens(1), 20u);
  CHECK(test.runner.idle());
}

TEST(what_is_parked_can_be_preempted_and_cancelled) {
  Parking test({.max_sequences = 2, .max_step_tokens = 256}, 4);
  const Outcome alone = test.engine.alone(test.with_adapter(1, 60, 60));
  test.runner.submit(test.with_adapter(1, 60, 60), test.report);
  for (int i = 0; i < 20; ++i) test.step();
  test.engine.slots.park(test.slot);
  SequenceOptions urgent = test.plain(2, 150, 60);
  urgent.priority = 1;
  test.runner.submit(urgent, test.report);
  test.runner.submit(test.with_adapter(3, 20, 5), test.report);
  test.finish();
  CHECK(same(test.outcomes[2], test.engine.alone(urgent)));
  CHECK(test.runner.scheduler().preemptions() > 0);
  test.runner.cancel(3, test.report);
  CHECK_EQ(test.runner.load().waiting, 1u);  // the one that was preempted
  CHECK(test.runner.has_parked());
  test.engine.slots.resume(test.slot, test.weights);
  test.finish();
  CHECK(!test.runner.has_parked());
  CHECK(same(test.outcomes[1], alone));
  CHECK_EQ(test.runner.load().kv_blocks_used, 0u);
}

TEST(parked_ones_are_counted_whether_they_run_or_wait_and_however_they_leave) {
  Parking test({.max_sequences = 1, .max_step_tokens = 256});
  test.engine.slots.park(test.slot);
  test.runner.submit(test.with_adapter(1, 10, 20), test.report);  // parked from the beginning
  CHECK(test.runner.has_parked());
  test.runner.cancel(1, test.report);
  CHECK(!test.runner.has_parked());
  test.engine.slots.resume(test.slot, test.weights);
  test.runner.submit(test.with_adapter(2, 10, 20), test.report);
  test.runner.submit(test.with_adapter(3, 10, 20), test.report);
  test.step();
  CHECK(!test.runner.has_parked());
  test.engine.slots.park(test.slot);
  CHECK(!test.step());
  test.runner.cancel(2, test.report);  // it runs
  CHECK(test.runner.has_parked());
  test.runner.cancel(3, test.report);  // it waits
  CHECK(!test.runner.has_parked() && test.runner.idle());
}

// A parked slot can get another content, and one can get the content of a parked slot.
TEST(replacing_and_parking_go_together) {
  Parking test;
  const AdapterWeights other = tiny_adapter(test.engine.config, 2, 8, 0x7f);
  const uint32_t by = test.engine.slots.attach(other, "two");
  test.runner.submit(test.with_adapter(1, 10, 30), test.report);
  for (int i = 0; i < 5; ++i) test.step();
  test.engine.slots.park(by);
  test.engine.slots.replace(test.slot, by);
  CHECK(!test.step());
  test.engine.slots.resume(by, other);
  CHECK(test.step());
  CHECK((test.outcomes[1].replaced == std::vector<uint32_t>{by}));
  test.engine.slots.park(test.slot);
  CHECK(!test.step());
  CHECK_EQ(test.engine.slots.bytes_used(), 0u);
  test.engine.slots.resume(test.slot, other);
  test.finish();
  CHECK_EQ(test.tokens(1), 30u);
}

// The loop sleeps when nothing but parked sequences is left, and goes on when one is back.
TEST(the_loop_waits_for_what_is_parked) {
  Parking test;
  struct Ends {
    std::mutex mutex;
    std::condition_variable changed;
    uint32_t tokens = 0;
    bool finished = false;
  } ends;
  EngineLoop loop(test.runner, test.engine.slots, 8);
  loop.on_report(
      [](void* user, const pg_report* report) {
        auto& ends = *static_cast<Ends*>(user);
        const std::lock_guard lock(ends.mutex);
        for (uint32_t i = 0; i < report->event_count; ++i) {
          ends.tokens += report->events[i].kind == PG_EVENT_TOKEN;
          ends.finished |= report->events[i].kind == PG_EVENT_FINISHED;
        }
        ends.changed.notify_all();
      },
      &ends);
  loop.submit(test.with_adapter(1, 10, 200));
  const auto wait = [&ends](auto condition) {
    std::unique_lock lock(ends.mutex);
    ends.changed.wait(lock, condition);
  };
  for (uint32_t round = 1; round <= 5; ++round) {
    wait([&] { return ends.tokens >= 10 * round || ends.finished; });
    test.engine.slots.park(test.slot);
    test.engine.slots.resume(test.slot, test.weights);
    loop.wake();
  }
  wait([&] { return ends.finished; });
  CHECK_EQ(ends.tokens, 200u);
}
