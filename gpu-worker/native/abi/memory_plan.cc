#include "abi/memory_plan.h"

#include <algorithm>
#include <string>

#include "model/error.h"

namespace polygraft {
namespace {

// What a Node.js process takes, measured under load with a model of 4 MB, and what it takes more for each token of a
// vocabulary: the host has the tokenizer twice, once on the thread that takes long texts.
constexpr uint64_t kProcessBytes = uint64_t{192} << 20;
constexpr uint64_t kProcessBytesPerToken = 2048;
constexpr uint64_t kLeastTokens = 1024;

uint64_t blocks_for(uint64_t tokens) { return (tokens + kKvBlockTokens - 1) / kKvBlockTokens; }

std::string mebibytes(uint64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

}  // namespace

uint64_t scratch_bytes(const StepLimits& limits, const ModelConfig& config) {
  const uint64_t heads = uint64_t{config.heads + 2 * config.kv_heads} * config.head_dim;
  const uint64_t query = uint64_t{config.heads} * config.head_dim;
  const uint64_t row = 2 * uint64_t{config.hidden_size} + heads + query + 2 * uint64_t{config.ffn_size};
  // Rows in f32, and once more for their int8 and intermediate forms inside the kernels.
  const uint64_t activations = 2 * sizeof(float) * row * limits.max_step_tokens;
  const uint64_t scored = uint64_t{limits.max_sequences} + limits.max_scored_rows;
  return activations + sizeof(float) * scored * (uint64_t{config.vocab_size} + config.hidden_size);
}

MemoryPlan plan_memory(const EngineOptions& options, const ModelConfig& config, uint64_t weight_bytes,
                       uint64_t block_bytes) {
  MemoryPlan plan;
  plan.weights = weight_bytes;
  plan.scratch = scratch_bytes(options.step, config);
  plan.process = kProcessBytes + kProcessBytesPerToken * config.vocab_size;
  const uint64_t context =
      std::min<uint64_t>(config.max_position, options.max_context != 0 ? options.max_context : kLeastTokens);
  const uint64_t least_kv = options.kv_bytes != 0 ? options.kv_bytes : blocks_for(context) * block_bytes;
  const uint64_t least = plan.total() + least_kv + options.adapter_bytes + options.host_adapter_bytes;
  if (options.memory_bytes < least) {
    throw Error(PG_INVALID_ARGUMENT, "memory_bytes",
                "memory is " + mebibytes(options.memory_bytes) + ", at least " + mebibytes(least) + " are needed: " +
                    mebibytes(plan.weights) + " for weights, " + mebibytes(plan.scratch + plan.process) +
                    " to work with, " + mebibytes(least_kv) + " for keys and values, " +
                    mebibytes(options.adapter_bytes + options.host_adapter_bytes) + " for adapters");
  }
  uint64_t rest = options.memory_bytes - least;
  plan.kv = least_kv;
  if (options.kv_bytes == 0) {
    const uint64_t longest =
        std::min<uint64_t>(config.max_position, options.max_context != 0 ? options.max_context : kDefaultContext);
    const uint64_t usable = options.step.max_sequences * blocks_for(longest) * block_bytes;
    const uint64_t more = std::min(rest / 2, usable > plan.kv ? usable - plan.kv : 0);
    plan.kv += more, rest -= more;
  }
  plan.adapters = options.adapter_bytes != 0 ? options.adapter_bytes : rest / 2;
  plan.host_adapters = options.host_adapter_bytes != 0 ? options.host_adapter_bytes
                       : options.adapter_bytes != 0    ? rest
                                                       : rest - rest / 2;
  return plan;
}

}  // namespace polygraft
