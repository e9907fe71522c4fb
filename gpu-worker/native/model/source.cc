#include "model/source.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "model/error.h"
#include "model/quantize.h"
#include "model/weight_list.h"

namespace polygraft {
namespace {

// Tensors that some checkpoints carry and no forward pass needs.
bool is_harmless(const std::string& name, const ModelConfig& config) {
  return name.ends_with(".rotary_emb.inv_freq") || (config.tied_head && name == "lm_head.weight");
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

}  // namespace

// Checked before room is made for any of them.
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

void read_weights(const SourceTensor& tensor, const std::string& name, uint64_t first, std::span<float> out,
                  bool quantized) {
  tensor.read_floats(first, out);
  check_values(out, name, quantized);
}

}  // namespace polygraft
