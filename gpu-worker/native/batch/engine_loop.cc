#include "batch/engine_loop.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <string>
#include <utility>

#include "model/error.h"

namespace polygraft {

EngineLoop::EngineLoop(StepRunner& runner, const AdapterSlots& slots, uint32_t most_sequences)
    : runner_(runner), slots_(slots), most_sequences_(most_sequences), thread_([this] { run(); }) {}

EngineLoop::~EngineLoop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void EngineLoop::on_report(pg_on_report callback, void* user) {
  const std::lock_guard lock(mutex_);
  callback_ = callback;
  user_ = user;
}

void EngineLoop::submit(SequenceOptions options) {
  {
    const std::lock_guard lock(mutex_);
    if (live_.size() >= most_sequences_) {
      throw Error(PG_RESOURCE_EXHAUSTED, "",
                  "the queue is full: " + std::to_string(most_sequences_) + " requests run or wait; try again later");
    }
    if (!live_.insert(options.id).second) throw Error(PG_INVALID_ARGUMENT, "id", "a request of this id is in progress");
    count_waiting(options, load_);
    submissions_.push_back(std::move(options));
  }
  wake_.notify_one();
}

void EngineLoop::cancel(uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    if (!live_.contains(id)) return;
    cancels_.insert(id);
  }
  wake_.notify_one();
}

void EngineLoop::wake() {
  {
    const std::lock_guard lock(mutex_);
    stalled_ = false;
  }
  wake_.notify_one();
}

pg_load EngineLoop::load() const {
  const std::lock_guard lock(mutex_);
  pg_load load = load_;
  load.adapter_bytes_used = slots_.bytes_used();
  return load;
}

void EngineLoop::run() {
  Report report;
  std::vector<SequenceOptions> submissions;
  std::unordered_set<uint64_t> cancels;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] {
        return stopping_ || !submissions_.empty() || !cancels_.empty() || (!runner_.idle() && !stalled_);
      });
      stalled_ = runner_.has_parked();  // unless a step can be taken, or `wake` is called meanwhile
      if (stopping_) return;
      submissions.swap(submissions_);
      cancels.swap(cancels_);
    }
    report.clear();
    bool stepped = true;
    try {
      stepped = run_once(submissions, cancels, report);
    } catch (const std::exception&) {
      runner_.fail_all(PG_INTERNAL, report);  // the process and the loop live on
    }
    submissions.clear();
    cancels.clear();
    if (stepped) wake();
    publish(report);
    std::this_thread::yield();  // on few cores the host's thread has something to send now
  }
}

bool EngineLoop::run_once(std::vector<SequenceOptions>& submissions, const std::unordered_set<uint64_t>& cancels,
                          Report& report) {
  const auto begin = std::chrono::steady_clock::now();
  for (SequenceOptions& options : submissions) {
    const uint64_t id = options.id;
    try {
      runner_.submit(std::move(options), report);
    } catch (const Error& e) {
      report.failed(id, e.code());
    }
  }
  for (const uint64_t id : cancels) runner_.cancel(id, report);
  const bool stepped = runner_.step(report);
  if (stepped) {
    ++steps_;
    const auto elapsed = std::chrono::steady_clock::now() - begin;
    report.load.step_micros =
        static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count());
  } else if (runner_.has_parked()) {
    report.load = runner_.load();  // until somebody's adapter is back
  } else {
    runner_.fail_all(PG_INTERNAL, report);  // sequences that no step can be planned for: a bug, but not an endless loop
    report.load = runner_.load();
  }
  report.load.steps = steps_;
  report.load.adapter_bytes_used = slots_.bytes_used();
  return stepped;
}

void EngineLoop::publish(Report& report) {
  pg_on_report callback;
  void* user;
  {
    const std::lock_guard lock(mutex_);
    for (const pg_event& event : report.events) {
      if (event.kind == PG_EVENT_FINISHED || event.kind == PG_EVENT_FAILED) live_.erase(event.id);
    }
    load_ = report.load;
    for (const SequenceOptions& options : submissions_) count_waiting(options, load_);
    callback = callback_;
    user = user_;
  }
  if (callback == nullptr) return;
  const pg_report out = {report.events.data(), static_cast<uint32_t>(report.events.size()), report.alternatives.data(),
                         static_cast<uint32_t>(report.alternatives.size()), report.load};
  callback(user, &out);
}

void EngineLoop::count_waiting(const SequenceOptions& options, pg_load& load) {
  const auto prompt = static_cast<uint32_t>(options.prompt.size());
  ++load.waiting;
  load.waiting_tokens += prompt;
  load.in_flight_tokens += prompt + (options.max_tokens - std::min(options.max_tokens, options.resumed));
}

}  // namespace polygraft
