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

}  // namespace

ThreadPool::ThreadPool(uint32_t threads) {
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  for (uint32_t i = 1; i < threads; ++i) workers_.emplace_back([this] { worker(); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& thread : workers_) thread.join();
}

void ThreadPool::execute(const Job& job) {
  if (job.count == 0) return;
  if (workers_.empty()) {
    for (uint32_t i = 0; i < job.first_count; ++i) job.first(job.first_task, i);
    for (uint32_t i = job.first_count; i < job.count; ++i) job.second(job.second_task, i - job.first_count);
    return;
  }
  job_ = job;
  first_done_.store(0, std::memory_order_relaxed);
  done_.store(0, std::memory_order_relaxed);
  const uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
  tickets_.store(static_cast<uint64_t>(epoch) << 32 | job.count, std::memory_order_release);
  epoch_.store(epoch, std::memory_order_release);
  if (job.count > 1) epoch_.notify_all();
  work();
  await(done_, job.count);
}

void ThreadPool::work() {
  for (;;) {
    uint64_t tickets = tickets_.load(std::memory_order_acquire);
    do {
      if ((tickets & 0xffffffffu) == 0) return;
    } while (!tickets_.compare_exchange_weak(tickets, tickets - 1, std::memory_order_acq_rel,
                                             std::memory_order_acquire));
    const uint32_t count = job_.count, first_count = job_.first_count;
    const uint32_t i = count - static_cast<uint32_t>(tickets & 0xffffffffu);
    if (i < first_count) {
      job_.first(job_.first_task, i);
      arrive(first_done_, first_count);
    } else {
      // The first tickets were all taken before this one, so that they are done or running.
      await(first_done_, first_count);
      job_.second(job_.second_task, i - first_count);
    }
    arrive(done_, count);
  }
}

void ThreadPool::worker() {
  uint32_t seen = 0;
  for (;;) {
    const auto changed = [&] { return epoch_.load(std::memory_order_acquire) != seen; };
    while (!spin(changed) && !changed()) epoch_.wait(seen);
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_acquire)) return;
    work();
  }
}

}  // namespace polygraft
