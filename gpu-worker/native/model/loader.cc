#include "model/loader.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <span>

#include "model/cache.h"
#include "model/checkpoint.h"
#include "model/input_file.h"
#include "model/parallel_for.h"
#include "model/progress.h"
#include "model/quantize.h"
#include "model/sha256.h"
#include "model/weight_list.h"

namespace polygraft {
namespace {

// Part of every digest: a new name when the same source would give other weights.
constexpr const char* kWeightsVersion = "polygraft-weights-1";
constexpr uint64_t kChunkFloats = 256u << 10;  // that a thread holds in full precision

void check_options(const QuantizeOptions& options) {
  if (options.scheme == Scheme::kW8)
    throw Error(PG_INVALID_ARGUMENT, "scheme", "linear layers are served as W4, NF4 or F32");
  if (options.scheme != Scheme::kF32 && options.group != 32 && options.group != 64 && options.group != 128)
    throw Error(PG_INVALID_ARGUMENT, "group", "group is " + std::to_string(options.group) + "; use 32, 64 or 128");
  if (options.head_bits != 4 && options.head_bits != 8 && options.head_bits != 32)
    throw Error(PG_INVALID_ARGUMENT, "head_bits",
                "head_bits is " + std::to_string(options.head_bits) + "; use 4, 8 or 32");
  if (options.head_bits == 4 && options.group != 32 && options.group != 64 && options.group != 128)
    throw Error(PG_INVALID_ARGUMENT, "group", "group is " + std::to_string(options.group) + "; use 32, 64 or 128");
}

// Tensors that some checkpoints carry and no forward pass needs.
bool is_harmless(const std::string& name, const ModelConfig& config) {
  return name.ends_with(".rotary_emb.inv_freq") || (config.tied_head && name == "lm_head.weight");
}

// Every tensor there, of the right shape, and none besides: checked before room is made for any of them.
void check_tensors(const Checkpoint& checkpoint, const ModelConfig& config) {
  ModelWeights unallocated;
  std::set<std::string, std::less<>> wanted;
  for (const NamedWeight& weight : named_weights(config, unallocated)) {
    const std::string& name = *wanted.insert(weight.name).first;
    const CheckpointTensor* tensor = checkpoint.find(name);
    if (tensor == nullptr)
      throw Error(PG_FAILED_PRECONDITION, name,
                  "the checkpoint lacks tensor " + name + ", which config.json calls for");
    if (tensor->info->shape != weight.shape)
      throw Error(PG_FAILED_PRECONDITION, name,
                  "tensor " + name + " has shape " + shape_text(tensor->info->shape) + "; config.json calls for " +
                      shape_text(weight.shape));
    if (!is_float_dtype(tensor->info->dtype))
      throw Error(
          PG_UNIMPLEMENTED, name,
          "tensor " + name + " has dtype " + dtype_name(tensor->info->dtype) + "; F32, F16 and BF16 are served");
  }
  for (const auto& [name, tensor] : checkpoint.tensors())
    if (!wanted.contains(name) && !is_harmless(name, config))
      throw Error(
          PG_UNIMPLEMENTED, name,
          "the checkpoint has tensor " + name.substr(0, 128) + ", which a model of its config.json does not use");
}

// Covers every byte of config.json and of the weight files, and all that shapes the weights. File names do not count.
std::string model_digest(const Checkpoint& checkpoint, const std::string& config_text, const QuantizeOptions& options,
                         const LoadProgress& progress) {
  uint64_t total = 0;
  for (const SafetensorsFile& file : checkpoint.files()) total += file.file().size();
  Progress meter(progress, "read", total);
  Sha256 hash;
  hash.update(kWeightsVersion);
  hash.update_count(static_cast<uint64_t>(options.scheme));
  hash.update_count(options.scheme == Scheme::kF32 && options.head_bits != 4 ? 0 : options.group);
  hash.update_count(options.head_bits);
  hash.update_count(config_text.size());
  hash.update(config_text);
  for (const SafetensorsFile& file : checkpoint.files())
    hash.update(sha256_tree(
        file.file().size(), [&](uint64_t offset, std::span<uint8_t> out) { file.file().read(offset, out); },
        [&](uint64_t bytes) { meter.add(bytes); }));
  meter.finish();
  return "sha256:" + hex(hash.finish());
}

// NaN and infinities come from broken files; what fp16 scales cannot hold has to stay unquantized.
void check_values(std::span<const float> values, const std::string& name, bool quantized) {
  float largest = 0;
  bool finite = true;
  for (const float v : values) {
    finite = finite && std::isfinite(v);
    largest = std::max(largest, std::abs(v));
  }
  if (!finite) throw Error(PG_DATA_LOSS, name, "tensor " + name + " holds NaN or infinity");
  if (quantized && largest > kMaxQuantizable)
    throw Error(PG_FAILED_PRECONDITION, name,
                "tensor " + name + " holds a weight of magnitude " + std::to_string(largest) +
                    ", which cannot be quantized; serve the model unquantized");
}

void load_vector(const CheckpointTensor& tensor, const NamedWeight& weight) {
  tensor.read_floats(0, *weight.vector);
  check_values(*weight.vector, weight.name, false);
}

void load_matrix(const CheckpointTensor& tensor, const NamedWeight& weight, Progress& meter) {
  WeightMatrix& m = *weight.matrix;
  const uint64_t grain = std::max<uint64_t>(1, kChunkFloats / m.k);
  parallel_for(m.n, grain, [&](uint64_t first, uint64_t last) {
    std::vector<float> rows((last - first) * m.k);
    tensor.read_floats(first * m.k, rows);
    check_values(rows, weight.name, m.scheme != Scheme::kF32);
    quantize_rows(rows.data(), static_cast<uint32_t>(first), static_cast<uint32_t>(last - first), m);
    meter.add(rows.size() * dtype_bytes(tensor.info->dtype));
  });
}

ModelWeights quantize_checkpoint(const Checkpoint& checkpoint, const ModelConfig& config,
                                 const QuantizeOptions& options, const LoadProgress& progress) {
  ModelWeights weights = allocate_weights(config, options);
  const std::vector<NamedWeight> list = named_weights(config, weights);
  uint64_t total = 0;
  for (const NamedWeight& weight : list) {
    const TensorInfo& info = *checkpoint.find(weight.name)->info;
    total += info.end - info.begin;
  }
  Progress meter(progress, "quantize", total);
  for (const NamedWeight& weight : list) {
    const CheckpointTensor& tensor = *checkpoint.find(weight.name);
    if (weight.vector != nullptr) {
      load_vector(tensor, weight);
      meter.add(tensor.info->end - tensor.info->begin);
    } else {
      load_matrix(tensor, weight, meter);
    }
  }
  meter.finish();
  return weights;
}

}  // namespace

LoadedModel load_model(const std::string& dir, const QuantizeOptions& options, const std::string& cache_dir,
                       const LoadProgress& progress) {
  check_options(options);
  LoadedModel model;
  model.config = read_model_config(dir);
  const Checkpoint checkpoint(dir);
  check_tensors(checkpoint, model.config);
  model.digest = model_digest(checkpoint, read_text_file(dir + "/config.json", kMaxConfigBytes), options, progress);
  if (!cache_dir.empty()) {
    model.weights = allocate_weights(model.config, options);
    if (read_cache(cache_dir, model.digest, model.config, model.weights, progress)) return model;
    model.weights = {};
  }
  model.weights = quantize_checkpoint(checkpoint, model.config, options, progress);
  if (!cache_dir.empty()) write_cache(cache_dir, model.digest, model.config, model.weights);
  return model;
}

}  // namespace polygraft
