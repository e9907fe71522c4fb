#include "model/parallel_for.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace polygraft {

void parallel_for(uint64_t count, uint64_t grain, const std::function<void(uint64_t, uint64_t)>& body) {
  const uint64_t ranges = (count + grain - 1) / grain;
  std::atomic<uint64_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    for (uint64_t range = next++; range < ranges; range = next++) {
      try {
        body(range * grain, std::min(count, (range + 1) * grain));
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next = ranges;
      }
    }
  };
  const uint64_t cores = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> helpers;
  for (uint64_t i = 1; i < std::min(cores, ranges); ++i) {
    try {
      helpers.emplace_back(work);
    } catch (const std::system_error&) {
      break;  // no more threads to be had: fewer do
    }
  }
  work();
  for (std::thread& helper : helpers) helper.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace polygraft
