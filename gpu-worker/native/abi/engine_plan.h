// What an engine is opened with: options checked, defaults filled in, memory planned.
#pragma once

#include <cstdint>
#include <string>

#include "abi/engine.h"
#include "batch/scheduler.h"
#include "model/backend.h"
#include "model/loader.h"

namespace polygraft {

struct EngineOptions {
  std::string model_dir, cache_dir;
  QuantizeOptions quantize;
  BackendOptions backend;
  uint32_t max_context = 0;  // 0: as much as model, KV blocks and the default allow
  StepLimits step;
  uint32_t max_queue = 0;
  uint64_t kv_bytes = 0;  // 0: by default
  uint64_t adapter_bytes = 0;
  uint64_t memory_bytes = 0;  // 0: no plan; else what is 0 above and below comes from it
  uint64_t host_adapter_bytes = 0;
};

// Longest sequences unless told otherwise, in tokens.
inline constexpr uint32_t kDefaultContext = 8192;

// Checks what can be checked without the model. Throws Error(PG_INVALID_ARGUMENT) naming the option.
EngineOptions check_options(const pg_engine_options& options);

// The same for how weights are held, with defaults filled in. The field is "scheme", "group" or "head_bits".
QuantizeOptions check_quantization(pg_scheme scheme, uint32_t group, uint32_t head_bits);

// How long sequences can be, and how many KV blocks there are.
struct KvPlan {
  uint32_t context = 0;  // most tokens of a sequence; the blocks hold at least one such sequence
  uint32_t blocks = 0;
};

// Throws Error(PG_INVALID_ARGUMENT, "max_context" or "kv_bytes") if they contradict the model or each other.
KvPlan plan_kv(const EngineOptions& options, const ModelConfig& config, uint64_t block_bytes);

// What output depends on beside the request: the weights as held, how activations are multiplied, and the types that keys,
// values and adapters are held in. Threads and instruction sets change no bit (cpu/numerics.md).
std::string output_digest(const std::string& weights_digest, const BackendOptions& backend);

// How the layers' matrices are held: "w4-g32", "nf4-g64", "f32"; of a mixture "w4-g32+w8-g32", what is most of it first.
std::string weights_name(const ModelWeights& weights);

}  // namespace polygraft
