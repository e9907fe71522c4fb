// Threads that share the work of one op by tickets. Each has a range of its own, so that op after op the same rows stay in
// the same core's cache; who is done with his takes from the far end of another's. When a neighbour takes a core away, the
// other threads so take the tickets that the slow one leaves.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace polygraft {

// Tickets first..last-1 that nobody has taken. The owner takes from the front, others from the back.
class alignas(64) TicketRange {
 public:
  void set(uint32_t first, uint32_t last) { bounds_.store(uint64_t{first} << 32 | last, std::memory_order_release); }
  bool take_front(uint32_t& ticket) { return take(ticket, true); }
  bool take_back(uint32_t& ticket) { return take(ticket, false); }

 private:
  bool take(uint32_t& ticket, bool front) {
    uint64_t bounds = bounds_.load(std::memory_order_acquire);
    for (;;) {
      const auto first = static_cast<uint32_t>(bounds >> 32), last = static_cast<uint32_t>(bounds);
      if (first >= last) return false;
      const uint64_t rest = front ? bounds + (uint64_t{1} << 32) : bounds - 1;
      if (bounds_.compare_exchange_weak(bounds, rest, std::memory_order_acq_rel, std::memory_order_acquire)) {
        ticket = front ? first : last - 1;
        return true;
      }
    }
  }
  std::atomic<uint64_t> bounds_{0};
};

class ThreadPool {
 public:
  // `threads` counts the caller of run(), which takes part. 0: as many as the machine has cores.
  explicit ThreadPool(uint32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  uint32_t threads() const { return threads_; }

  // Calls task(i), or task(i, thread) with thread < threads(), once for each i < count, on all threads, and returns when
  // all calls have returned. Tasks must not throw. One run at a time.
  template <class Task>
  void run(uint32_t count, const Task& task) {
    const Stage stages[] = {stage(count, task)};
    execute(stages, 1);
  }

  // Calls first(i) and second(i) for all their tickets in any order, and when all of those are done, last(i) for all of
  // its own. Cheaper than several runs, for the threads do not part in between.
  template <class First, class Second, class Last>
  void run_stages(uint32_t first_count, const First& first, uint32_t second_count, const Second& second,
                  uint32_t last_count, const Last& last) {
    const Stage stages[] = {stage(first_count, first), stage(second_count, second), stage(last_count, last)};
    execute(stages, 3);
  }

 private:
  static constexpr uint32_t kMaxStages = 3;
  struct Stage {
    uint32_t count = 0;
    void (*call)(const void* task, uint32_t i, uint32_t thread) noexcept = nullptr;
    const void* task = nullptr;
  };
  template <class Task>
  static Stage stage(uint32_t count, const Task& task) {
    const auto call = [](const void* t, uint32_t i, [[maybe_unused]] uint32_t thread) noexcept {
      if constexpr (std::is_invocable_v<const Task&, uint32_t, uint32_t>)
        (*static_cast<const Task*>(t))(i, thread);
      else
        (*static_cast<const Task*>(t))(i);
    };
    return {count, call, &task};
  }
  struct Job {
    Stage stages[kMaxStages];
    uint32_t stage_count = 0;
    uint32_t early = 0;  // tickets of all stages but the last
    uint32_t count = 0;
  };

  void execute(const Stage* stages, uint32_t stage_count);
  void work(uint32_t thread);  // takes tickets of the present job until there are none
  bool take(uint32_t stage, uint32_t thread, uint32_t& ticket);
  void worker(uint32_t thread);

  // A ticket is taken from what is there now, and a job cannot end while one of its tickets is held: so job_ is read only
  // after a ticket was taken, and needs no lock, however late a thread arrives.
  Job job_;
  const uint32_t threads_;
  std::unique_ptr<TicketRange[]> ranges_;  // by stage, then thread
  alignas(64) std::atomic<uint32_t> early_done_{0};
  alignas(64) std::atomic<uint32_t> done_{0};
  alignas(64) std::atomic<uint32_t> epoch_{0};  // idle workers sleep on it
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace polygraft
