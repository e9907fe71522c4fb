// The engine's thread: it owns the step loop, everybody else leaves messages.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include "batch/step_runner.h"

namespace polygraft {

// Takes submissions and cancels between steps, runs steps while there is work and sleeps while there is none. All
// public methods are thread-safe.
class EngineLoop {
 public:
  // `most_sequences`: live ones, those that wait included. The runner belongs to the loop's thread from `start` on;
  // `slots` is asked for its bytes in use.
  EngineLoop(StepRunner& runner, const AdapterSlots& slots, uint32_t most_sequences);
  // Stops after the running step; sequences end without a report.
  ~EngineLoop();
  EngineLoop(const EngineLoop&) = delete;
  EngineLoop& operator=(const EngineLoop&) = delete;

  void on_report(pg_on_report callback, void* user);
  // Throws Error(PG_RESOURCE_EXHAUSTED) if the queue is full, PG_INVALID_ARGUMENT if the id is in use.
  void submit(SequenceOptions options);
  // Takes effect before the next step. Unknown ids are ignored.
  void cancel(uint64_t id);
  // Looks again at sequences that wait for their adapters. To be called when one is back.
  void wake();
  // As of the last step, with what was submitted since.
  pg_load load() const;

 private:
  void run();
  // Whether a step was taken.
  bool run_once(std::vector<SequenceOptions>& submissions, const std::unordered_set<uint64_t>& cancels, Report& report);
  void publish(Report& report);
  static void count_waiting(const SequenceOptions& options, pg_load& load);

  StepRunner& runner_;  // the thread's
  const AdapterSlots& slots_;
  const uint32_t most_sequences_;
  uint64_t steps_ = 0;  // the thread's

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<SequenceOptions> submissions_;
  std::unordered_set<uint64_t> cancels_;
  std::unordered_set<uint64_t> live_;  // ids submitted and not yet reported as ended
  pg_load load_{};
  pg_on_report callback_ = nullptr;
  void* user_ = nullptr;
  bool stopping_ = false;
  bool stalled_ = false;  // all that is left is parked

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace polygraft
