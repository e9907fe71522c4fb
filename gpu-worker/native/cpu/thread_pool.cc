#include "cpu/thread_pool.h"

#include <algorithm>
#include <chrono>

namespace polygraft {
namespace {

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins for about 20 microseconds; longer waits should sleep. True as soon as `ready` is.
template <class Ready>
bool spin(const Ready& ready) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::microseconds(20);
  do {
    for (int i = 0; i < 64; ++i) {
      if (ready()) return true;
      pause();
    }
  } while (Clock::now() < end);
  return ready();
}

// Waits until `value` is `target`, spinning first.
void await(std::atomic<uint32_t>& value, uint32_t target) {
  const auto ready = [&] { return value.load(std::memory_order_acquire) == target; };
  if (spin(ready)) return;
  for (uint32_t seen; (seen = value.load(std::memory_order_acquire)) != target;) value.wait(seen);
}

// Counts one more; the last one wakes whoever waits for `target`.
void arrive(std::atomic<uint32_t>& value, uint32_t target) {
  if (value.fetch_add(1, std::memory_order_acq_rel) + 1 == target) value.notify_all();
}

uint32_t threads_or_cores(uint32_t threads) {
  return threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

ThreadPool::ThreadPool(uint32_t threads)
    : threads_(threads_or_cores(threads)), ranges_(std::make_unique<TicketRange[]>(size_t{kMaxStages} * threads_)) {
  for (uint32_t i = 1; i < threads_; ++i) workers_.emplace_back([this, i] { worker(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& thread : workers_) thread.join();
}

void ThreadPool::execute(const Stage* stages, uint32_t stage_count) {
  Job job;
  job.stage_count = stage_count;
  for (uint32_t s = 0; s < stage_count; ++s) {
    job.stages[s] = stages[s];
    job.count += stages[s].count;
    if (s + 1 < stage_count) job.early += stages[s].count;
  }
  if (job.count == 0) return;
  if (workers_.empty() || job.count == 1) {
    for (uint32_t s = 0; s < stage_count; ++s)
      for (uint32_t i = 0; i < stages[s].count; ++i) stages[s].call(stages[s].task, i, 0);
    return;
  }
  job_ = job;
  early_done_.store(0, std::memory_order_relaxed);
  done_.store(0, std::memory_order_relaxed);
  for (uint32_t s = 0; s < stage_count; ++s) {
    const uint64_t count = stages[s].count;
    for (uint32_t t = 0; t < threads_; ++t)
      ranges_[s * threads_ + t].set(static_cast<uint32_t>(count * t / threads_),
                                    static_cast<uint32_t>(count * (t + 1) / threads_));
  }
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  work(0);
  await(done_, job.count);
}

bool ThreadPool::take(uint32_t stage, uint32_t thread, uint32_t& ticket) {
  TicketRange* const ranges = &ranges_[stage * threads_];
  if (ranges[thread].take_front(ticket)) return true;
  for (uint32_t other = 1; other < threads_; ++other)
    if (ranges[(thread + other) % threads_].take_back(ticket)) return true;
  return false;
}

void ThreadPool::work(uint32_t thread) {
  for (uint32_t s = 0; s < kMaxStages; ++s) {
    for (uint32_t ticket; take(s, thread, ticket);) {
      const Stage stage = job_.stages[s];
      const uint32_t count = job_.count, early = job_.early;
      const bool last = s + 1 == job_.stage_count;
      // The early tickets were all taken before one of the last stage, so that they are done or running.
      if (last && early > 0) await(early_done_, early);
      stage.call(stage.task, ticket, thread);
      if (!last) arrive(early_done_, early);
      arrive(done_, count);
    }
  }
}

void ThreadPool::worker(uint32_t thread) {
  uint32_t seen = 0;
  for (;;) {
    const auto changed = [&] { return epoch_.load(std::memory_order_acquire) != seen; };
    while (!spin(changed) && !changed()) epoch_.wait(seen);
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_acquire)) return;
    work(thread);
  }
}

}  // namespace polygraft
