#include "abi/engine_plan.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "model/error.h"
#include "model/sha256.h"

namespace polygraft {
namespace {

constexpr uint32_t kDefaultSequences = 64, kMaxSequences = 1024;
constexpr uint32_t kDefaultStepTokens = 512, kMaxStepTokens = 65536;
constexpr uint32_t kDefaultPrefillTokens = 64;
constexpr uint32_t kDefaultQueue = 1024, kMaxQueue = 1u << 20;
constexpr uint32_t kMaxThreads = 1024;
constexpr uint64_t kDefaultKvTokens = 1024;  // for each sequence
constexpr uint64_t kMaxDefaultKvBytes = uint64_t{1} << 30;
constexpr uint64_t kDefaultAdapterBytes = uint64_t{512} << 20;

uint32_t in_range(const char* field, uint32_t value, uint32_t low, uint32_t high) {
  if (value < low || value > high) {
    throw Error(PG_INVALID_ARGUMENT, field,
                std::string(field) + " is " + std::to_string(value) + ", allowed are " + std::to_string(low) + " to " +
                    std::to_string(high));
  }
  return value;
}

uint32_t or_default(uint32_t value, uint32_t fallback) { return value != 0 ? value : fallback; }

Scheme scheme_of(pg_scheme scheme) {
  switch (scheme) {
    case PG_SCHEME_DEFAULT:
    case PG_SCHEME_W4:
      return Scheme::kW4;
    case PG_SCHEME_NF4:
      return Scheme::kNf4;
    case PG_SCHEME_W8:
      return Scheme::kW8;
    case PG_SCHEME_F32:
      return Scheme::kF32;
  }
  throw Error(PG_INVALID_ARGUMENT, "scheme", "scheme is unknown: use w4, nf4, w8 or f32");
}

}  // namespace

QuantizeOptions check_quantization(pg_scheme scheme, uint32_t group, uint32_t head_bits) {
  QuantizeOptions quantize;
  quantize.scheme = scheme_of(scheme);
  quantize.keep = scheme == PG_SCHEME_DEFAULT ? Keep::kBits : Keep::kGrids;
  quantize.group = or_default(group, 32);
  if (quantize.group != 32 && quantize.group != 64 && quantize.group != 128) {
    throw Error(PG_INVALID_ARGUMENT, "group", "group is " + std::to_string(quantize.group) + ": use 32, 64 or 128");
  }
  quantize.head_bits = or_default(head_bits, quantize.scheme == Scheme::kF32 ? 32 : 8);
  if (quantize.head_bits != 4 && quantize.head_bits != 8 && quantize.head_bits != 32) {
    throw Error(PG_INVALID_ARGUMENT, "head_bits",
                "head_bits is " + std::to_string(quantize.head_bits) + ": use 4, 8 or 32");
  }
  return quantize;
}

namespace {

BackendOptions backend_options(const pg_engine_options& options) {
  if (options.activations != PG_ACTIVATIONS_INT8 && options.activations != PG_ACTIVATIONS_F32) {
    throw Error(PG_INVALID_ARGUMENT, "activations", "activations are unknown: use int8 or f32");
  }
  BackendOptions backend;
  backend.isa = options.isa != nullptr ? options.isa : "";
  backend.threads = in_range("threads", options.threads, 0, kMaxThreads);
  if (options.kv_type != PG_KV_DEFAULT && options.kv_type != PG_KV_F16 && options.kv_type != PG_KV_F32 &&
      options.kv_type != PG_KV_INT8) {
    throw Error(PG_INVALID_ARGUMENT, "kv_type", "the type of keys and values is unknown: use f16, f32 or int8");
  }
  // Nothing is rounded where the weights are not.
  const bool exact = options.activations == PG_ACTIVATIONS_F32 || options.scheme == PG_SCHEME_F32;
  backend.activations = exact ? PG_ACTIVATIONS_F32 : PG_ACTIVATIONS_INT8;
  backend.kv = options.kv_type == PG_KV_DEFAULT ? (exact ? PG_KV_F32 : PG_KV_F16) : options.kv_type;
  if (options.adapter_type != PG_ADAPTER_DEFAULT && options.adapter_type != PG_ADAPTER_SOURCE &&
      options.adapter_type != PG_ADAPTER_INT8) {
    throw Error(PG_INVALID_ARGUMENT, "adapter_type", "the type of adapters is unknown: use source or int8");
  }
  backend.adapters = options.adapter_type == PG_ADAPTER_INT8 ? PG_ADAPTER_INT8 : PG_ADAPTER_SOURCE;
  return backend;
}

uint64_t blocks_for(uint64_t tokens) { return (tokens + kKvBlockTokens - 1) / kKvBlockTokens; }

}  // namespace

EngineOptions check_options(const pg_engine_options& options) {
  EngineOptions checked;
  if (options.model_dir == nullptr || options.model_dir[0] == '\0') {
    throw Error(PG_INVALID_ARGUMENT, "model_dir", "model_dir is missing: it must be a folder with config.json or a GGUF file");
  }
  checked.model_dir = options.model_dir;
  if (options.cache_dir != nullptr) checked.cache_dir = options.cache_dir;
  checked.quantize = check_quantization(options.scheme, options.group, options.head_bits);
  checked.backend = backend_options(options);
  checked.max_context = options.max_context;
  const uint32_t sequences =
      in_range("max_sequences", or_default(options.max_sequences, kDefaultSequences), 1, kMaxSequences);
  checked.step.max_sequences = sequences;
  // A step has room for a token of every sequence, so that none waits for its turn to decode.
  checked.step.max_step_tokens =
      in_range("max_step_tokens", or_default(options.max_step_tokens, std::max(kDefaultStepTokens, sequences)),
               sequences, kMaxStepTokens);
  checked.step.max_prefill_tokens = in_range(
      "max_prefill_tokens", or_default(options.max_prefill_tokens, kDefaultPrefillTokens), 1, kMaxStepTokens);
  checked.max_queue = in_range("max_queue", or_default(options.max_queue, kDefaultQueue), 1, kMaxQueue);
  checked.step.prefix_cache = !options.no_prefix_cache;
  checked.kv_bytes = options.kv_bytes;
  checked.memory_bytes = options.memory_bytes;
  checked.host_adapter_bytes = options.host_adapter_bytes;
  checked.adapter_bytes = options.adapter_bytes;
  if (checked.adapter_bytes == 0 && checked.memory_bytes == 0) checked.adapter_bytes = kDefaultAdapterBytes;
  return checked;
}

KvPlan plan_kv(const EngineOptions& options, const ModelConfig& config, uint64_t block_bytes) {
  if (options.max_context > config.max_position) {
    throw Error(PG_INVALID_ARGUMENT, "max_context",
                "max_context is " + std::to_string(options.max_context) + ", the model's positions end at " +
                    std::to_string(config.max_position));
  }
  uint64_t context = options.max_context != 0 ? options.max_context : std::min(config.max_position, kDefaultContext);
  const uint64_t sequences = options.step.max_sequences;
  uint64_t blocks;
  if (options.kv_bytes == 0) {
    const uint64_t usual = sequences * blocks_for(std::min(context, kDefaultKvTokens));
    blocks = std::max(std::min(usual, kMaxDefaultKvBytes / block_bytes), blocks_for(context));
  } else {
    // More than all sequences can fill at once would never be used.
    blocks = std::min(options.kv_bytes / block_bytes, sequences * blocks_for(context));
    if (options.max_context == 0) context = std::min(context, blocks * kKvBlockTokens);
    if (blocks == 0 || blocks < blocks_for(context)) {
      throw Error(PG_INVALID_ARGUMENT, "kv_bytes",
                  "kv_bytes is " + std::to_string(options.kv_bytes) + ", which holds " +
                      std::to_string(blocks * kKvBlockTokens) +
                      " tokens, fewer than one sequence can have: give at least " +
                      std::to_string(std::max<uint64_t>(1, blocks_for(context)) * block_bytes) + " bytes");
    }
  }
  return {static_cast<uint32_t>(context), static_cast<uint32_t>(std::min<uint64_t>(blocks, UINT32_MAX))};
}

namespace {

std::string matrix_name(const WeightMatrix& matrix) {
  const std::string group = "-g" + std::to_string(matrix.group);
  switch (matrix.scheme) {
    case Scheme::kW4:
      return "w4" + group;
    case Scheme::kNf4:
      return "nf4" + group;
    case Scheme::kW8:
      return "w8" + group;
    case Scheme::kF32:
      break;
  }
  return "f32";
}

}  // namespace

std::string output_digest(const std::string& weights_digest, const BackendOptions& backend) {
  Sha256 hash;
  hash.update("polygraft-output-1");
  hash.update_count(weights_digest.size());
  hash.update(weights_digest);
  hash.update_count(backend.activations);
  hash.update_count(backend.kv);
  hash.update_count(backend.adapters);
  return "sha256:" + hex(hash.finish());
}

std::string weights_name(const ModelWeights& weights) {
  std::map<std::string, uint64_t> held;
  for (const LayerWeights& layer : weights.layers)
    for (const WeightMatrix& matrix : layer.projections) held[matrix_name(matrix)] += uint64_t{matrix.n} * matrix.k;
  std::vector<std::pair<std::string, uint64_t>> names(held.begin(), held.end());
  std::ranges::stable_sort(names, std::greater{}, &std::pair<std::string, uint64_t>::second);
  std::string all;
  for (const auto& [name, count] : names) all += (all.empty() ? "" : "+") + name;
  return all;
}

}  // namespace polygraft
