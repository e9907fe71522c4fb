// One number for the memory of a whole worker, divided among what it holds.
#pragma once

#include <cstdint>

#include "abi/engine_plan.h"
#include "model/backend.h"

namespace polygraft {

// Bytes. Their sum is at most `memory_bytes` of the options.
struct MemoryPlan {
  uint64_t weights = 0;
  uint64_t scratch = 0;  // activations and logits of the largest step
  uint64_t process = 0;  // the host's runtime: code, heap, messages on their way
  uint64_t kv = 0;
  uint64_t adapters = 0;       // on the device
  uint64_t host_adapters = 0;  // the host's copies

  uint64_t total() const { return weights + scratch + process + kv + adapters + host_adapters; }
};

// Weights, scratch and process take what they need; of the rest, what the options do not fix, KV blocks get half,
// though no more than all sequences can fill at once, and both tiers of adapters get half of what is left. Throws
// Error(PG_INVALID_ARGUMENT, "memory_bytes") naming the least that would do, if that does not leave KV blocks for a
// sequence of `max_context` tokens, or of 1024 where that is not set.
MemoryPlan plan_memory(const EngineOptions& options, const ModelConfig& config, uint64_t weight_bytes,
                       uint64_t block_bytes);

// Of the largest step.
uint64_t scratch_bytes(const StepLimits& limits, const ModelConfig& config);

}  // namespace polygraft
