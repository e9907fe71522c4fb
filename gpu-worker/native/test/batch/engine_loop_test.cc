#include "batch/engine_loop.h"

#include <condition_variable>
#include <mutex>

#include "test/batch/tiny_engine.h"
#include "test/check.h"

using namespace polygraft;
using namespace polygraft::test;

namespace {

// Collects reports on the loop's thread; tests wait on what they wait for, never for a time.
class Host {
 public:
  static void on_report(void* user, const pg_report* report) { static_cast<Host*>(user)->receive(*report); }

  template <typename Condition>
  void wait(Condition condition) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return condition(outcomes_); });
  }
  void wait_for_end(uint64_t id) {
    wait([id](Outcomes& outcomes) { return outcomes[id].ends > 0; });
  }
  Outcome outcome(uint64_t id) {
    const std::lock_guard lock(mutex_);
    return outcomes_[id];
  }
  // The loop's thread stops at its next report until `open` is called.
  void shut() {
    const std::lock_guard lock(mutex_);
    shut_ = true;
  }
  void open() {
    {
      const std::lock_guard lock(mutex_);
      shut_ = false;
    }
    changed_.notify_all();
  }

 private:
  void receive(const pg_report& report) {
    Report copy;
    copy.events.assign(report.events, report.events + report.event_count);
    copy.alternatives.assign(report.alternatives, report.alternatives + report.alternative_count);
    std::unique_lock lock(mutex_);
    collect(copy, outcomes_);
    changed_.notify_all();
    changed_.wait(lock, [this] { return !shut_; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Outcomes outcomes_;
  bool shut_ = false;
};

struct Loop {
  explicit Loop(uint32_t most_sequences, uint32_t max_sequences = 4)
      : kv(engine.kv_pool(32)),
        runner(engine.config, *engine.backend, *engine.model, *kv,
               {.max_sequences = max_sequences, .max_step_tokens = 64}, kContext),
        loop(runner, engine.slots, most_sequences) {
    loop.on_report(&Host::on_report, &host);
  }
  ~Loop() { host.open(); }

  TinyEngine engine;
  Host host;
  std::unique_ptr<KvPool> kv;
  StepRunner runner;
  EngineLoop loop;
};

}  // namespace

TEST(requests_of_many_threads_equal_each_alone) {
  Loop fixture(100);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&fixture, t] {
      for (uint64_t i = 0; i < 6; ++i) {
        SequenceOptions options = request(t * 100 + i, {static_cast<uint32_t>(t), static_cast<uint32_t>(i), 7}, 15);
        options.logprobs = true;
        fixture.loop.submit(options);
        if (i == 5) fixture.loop.cancel(t * 100 + i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint64_t t = 0; t < 4; ++t) {
    for (uint64_t i = 0; i < 6; ++i) {
      fixture.host.wait_for_end(t * 100 + i);
      SequenceOptions options = request(t * 100 + i, {static_cast<uint32_t>(t), static_cast<uint32_t>(i), 7}, 15);
      options.logprobs = true;
      const Outcome outcome = fixture.host.outcome(t * 100 + i);
      // The backend serves one step at a time, so the loop must be idle while a request runs alone.
      fixture.host.wait([&](Outcomes& all) {
        size_t ended = 0;
        for (const auto& [id, other] : all) ended += static_cast<size_t>(other.ends);
        return ended == 24;
      });
      const Outcome alone = fixture.engine.alone(options);
      CHECK(i == 5 ? is_beginning(outcome, alone) : same(outcome, alone));
    }
  }
  CHECK_EQ(fixture.loop.load().running, 0u);
  CHECK_EQ(fixture.loop.load().kv_blocks_used, 0u);
}

TEST(a_full_queue_refuses_and_takes_again) {
  Loop fixture(3, 1);
  fixture.host.shut();
  for (uint64_t id = 1; id <= 3; ++id) fixture.loop.submit(request(id, {1, 2}, 5));
  CHECK_THROWS(PG_RESOURCE_EXHAUSTED, "", "queue is full", fixture.loop.submit(request(4, {1}, 5)));
  CHECK_THROWS(PG_RESOURCE_EXHAUSTED, "", "", fixture.loop.submit(request(3, {1}, 5)));
  fixture.host.open();
  for (uint64_t id = 1; id <= 3; ++id) fixture.host.wait_for_end(id);
  fixture.loop.submit(request(5, {1}, 5));
  fixture.host.wait_for_end(5);
  CHECK_EQ(fixture.host.outcome(5).tokens.size(), 5u);
}

TEST(an_id_in_use_is_refused) {
  Loop fixture(10);
  fixture.host.shut();
  fixture.loop.submit(request(1, {1, 2}, 5));
  CHECK_THROWS(PG_INVALID_ARGUMENT, "id", "in progress", fixture.loop.submit(request(1, {1}, 5)));
  fixture.host.open();
  fixture.host.wait_for_end(1);
  fixture.loop.submit(request(1, {1}, 5));
  fixture.host.wait([](Outcomes& outcomes) { return outcomes[1].ends == 2; });
}

TEST(a_cancel_takes_effect_before_the_next_step) {
  Loop fixture(10);
  fixture.host.shut();
  fixture.loop.submit(request(1, {1, 2}, 400));
  fixture.host.wait([](Outcomes& outcomes) { return outcomes[1].tokens.size() == 1; });
  // The loop's thread stands in its first report.
  fixture.loop.cancel(1);
  fixture.host.open();
  fixture.host.wait_for_end(1);
  CHECK_EQ(fixture.host.outcome(1).tokens.size(), 1u);
  CHECK_EQ(fixture.host.outcome(1).last_value, static_cast<uint32_t>(PG_FINISH_CANCELLED));
  CHECK_EQ(fixture.loop.load().kv_blocks_used, 0u);
}

TEST(the_load_counts_what_waits) {
  Loop fixture(10, 1);
  fixture.host.shut();
  fixture.loop.submit(request(1, {1, 2}, 5));
  fixture.host.wait([](Outcomes& outcomes) { return outcomes[1].tokens.size() == 1; });
  fixture.loop.submit(request(2, {1, 2, 3}, 7));
  const pg_load load = fixture.loop.load();
  CHECK_EQ(load.steps, 1u);
  CHECK_EQ(load.running, 1u);
  CHECK_EQ(load.waiting, 1u);
  CHECK_EQ(load.waiting_tokens, 3u);
  CHECK_EQ(load.in_flight_tokens, 5u + 10u);
  fixture.host.open();
  fixture.host.wait_for_end(2);
}

TEST(stopping_in_mid_stream_joins) {
  Loop fixture(10);
  for (uint64_t id = 1; id <= 6; ++id) fixture.loop.submit(request(id, {1, 2}, 400));
  fixture.host.wait([](Outcomes& outcomes) { return outcomes[1].tokens.size() > 2; });
}
