#include "cpu/thread_pool.h"

#include <chrono>
#include <vector>

#include "test/check.h"

using polygraft::ThreadPool;

TEST(every_ticket_runs_once) {
  for (const uint32_t threads : {1u, 2u, 5u}) {
    ThreadPool pool(threads);
    CHECK_EQ(pool.threads(), threads);
    for (uint32_t count = 0; count < 200; ++count) {
      std::vector<int> runs(count);
      pool.run(count, [&](uint32_t i) { ++runs[i]; });
      for (const int n : runs) CHECK_EQ(n, 1);
    }
  }
}

TEST(the_last_stage_sees_all_of_the_others) {
  ThreadPool pool(4);
  for (uint32_t round = 0; round < 500; ++round) {
    const uint32_t first = round % 7, second = round % 5, last = round % 11;
    std::vector<uint32_t> values(first + second);
    std::vector<uint32_t> sums(last);
    pool.run_stages(
        first, [&](uint32_t i) { values[i] = i + round; }, second,
        [&](uint32_t i) { values[first + i] = first + i + round; }, last,
        [&](uint32_t i) {
          for (const uint32_t v : values) sums[i] += v;
        });
    uint32_t expected = 0;
    for (uint32_t i = 0; i < first + second; ++i) expected += i + round;
    for (const uint32_t sum : sums) CHECK_EQ(sum, expected);
  }
}

TEST(a_thread_that_is_held_up_leaves_its_tickets_to_others) {
  ThreadPool pool(2);
  // The first ticket of the caller's range ends when all others have: they end only if the other thread takes them.
  constexpr uint32_t kCount = 100;
  std::atomic<uint32_t> done{0};
  pool.run(kCount, [&](uint32_t i) {
    if (i == 0)
      while (done.load() < kCount - 1) std::this_thread::yield();
    done.fetch_add(1);
  });
  CHECK_EQ(done.load(), kCount);
}

TEST(workers_that_fell_asleep_take_part_again) {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // beyond the spin
    // Three tickets that wait for each other: they end only if three threads hold one each.
    std::atomic<int> arrived{0};
    pool.run(3, [&](uint32_t) {
      arrived.fetch_add(1);
      while (arrived.load() < 3) std::this_thread::yield();
    });
    CHECK_EQ(arrived.load(), 3);
  }
}
