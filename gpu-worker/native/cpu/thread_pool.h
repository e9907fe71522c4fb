// Threads that share the work of one op by tickets. Work is never split in advance: when a neighbour takes a core away,
// the other threads take the tickets that the slow one leaves.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace polygraft {

class ThreadPool {
 public:
  // `threads` counts the caller of run(), which takes part. 0: as many as the machine has cores.
  explicit ThreadPool(uint32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  uint32_t threads() const { return static_cast<uint32_t>(workers_.size()) + 1; }

  // Calls task(i) once for each i < count, on all threads, and returns when all calls have returned. Tasks must not
  // throw. One run at a time.
  template <class Task>
  void run(uint32_t count, const Task& task) {
    run_phases(count, task, 0, task);
  }

  // Calls first(i) for each i < first_count, then second(i) for each i < second_count: a second ticket starts when all
  // first ones are done. Cheaper than two runs, for the threads do not part in between.
  template <class First, class Second>
  void run_phases(uint32_t first_count, const First& first, uint32_t second_count, const Second& second) {
    Job job;
    job.first_count = first_count;
    job.count = first_count + second_count;
    job.first = [](const void* task, uint32_t i) noexcept { (*static_cast<const First*>(task))(i); };
    job.second = [](const void* task, uint32_t i) noexcept { (*static_cast<const Second*>(task))(i); };
    job.first_task = &first;
    job.second_task = &second;
    execute(job);
  }

 private:
  using Call = void (*)(const void* task, uint32_t i) noexcept;
  struct Job {
    uint32_t first_count = 0, count = 0;
    Call first = nullptr, second = nullptr;
    const void *first_task = nullptr, *second_task = nullptr;
  };

  void execute(const Job& job);
  void work();  // takes tickets of the present job until there are none
  void worker();

  Job job_;
  // Epoch of the job in the high half, tickets left in the low half. A thread that arrives late cannot take a ticket
  // of a job that it has not seen, and a job cannot end while one of its tickets is held: so job_ is read only after a
  // ticket was taken, and needs no lock.
  alignas(64) std::atomic<uint64_t> tickets_{0};
  alignas(64) std::atomic<uint32_t> first_done_{0};
  alignas(64) std::atomic<uint32_t> done_{0};
  alignas(64) std::atomic<uint32_t> epoch_{0};  // idle workers sleep on it
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace polygraft
