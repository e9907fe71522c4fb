// Rows in parallel, for the work at load: reading, quantizing, hashing. Steps use cpu/thread_pool instead.
#pragma once

#include <cstdint>
#include <functional>

namespace polygraft {

// Calls `body(first, last)` for disjoint ranges that cover [0, count), at most `grain` long, on all cores. Which thread
// takes which range is left open: bodies write to places of their own. The first exception is thrown again here, once
// all threads have stopped.
void parallel_for(uint64_t count, uint64_t grain, const std::function<void(uint64_t, uint64_t)>& body);

}  // namespace polygraft
