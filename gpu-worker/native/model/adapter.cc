// PEFT LoRA folders: adapter_config.json and adapter_model.safetensors.
#include <algorithm>
#include <cmath>
#include <set>

#include "model/adapter_config.h"
#include "model/error.h"
#include "model/input_file.h"
#include "model/loader.h"
#include "model/safetensors.h"

namespace polygraft {
namespace {

constexpr const char* kWeightsFile = "adapter_model.safetensors";

std::string module_name(uint32_t layer, size_t projection) {
  return "model.layers." + std::to_string(layer) + (projection < 4 ? ".self_attn." : ".mlp.") +
         kProjectionNames[projection];
}

std::string tensor_name(const std::string& module, char side) {
  return "base_model.model." + module + ".lora_" + side + ".weight";
}

// One module's pair of tensors, checked.
struct Pair {
  std::string a_name, b_name;
  const TensorInfo* a = nullptr;
  const TensorInfo* b = nullptr;
};

const TensorInfo& require(const SafetensorsFile& file, const std::string& name, uint64_t n, uint64_t k) {
  const TensorInfo* info = file.find(name);
  if (info == nullptr)
    throw Error(PG_FAILED_PRECONDITION, name,
                std::string(kWeightsFile) + " lacks tensor " + name +
                    ", which adapter_config.json calls for on this model: is the adapter for another base model?");
  const uint64_t shape[2] = {n, k};
  if (!std::equal(info->shape.begin(), info->shape.end(), shape, shape + 2))
    throw Error(PG_FAILED_PRECONDITION, name,
                "tensor " + name + " has shape " + shape_text(info->shape) + "; config and base model call for " +
                    shape_text(shape) + ": is the adapter for another base model?");
  if (!is_float_dtype(info->dtype))
    throw Error(PG_UNIMPLEMENTED, name,
                "tensor " + name + " has dtype " + dtype_name(info->dtype) + "; F32, F16 and BF16 are served");
  return *info;
}

AdapterType type_of(DType dtype) {
  return dtype == DType::kF32 ? AdapterType::kF32 : dtype == DType::kF16 ? AdapterType::kF16 : AdapterType::kBf16;
}

// The tensor's bytes as `type`, all finite: its own, or f32.
std::vector<uint8_t> read_side(const SafetensorsFile& file, const TensorInfo& info, const std::string& name,
                               AdapterType type) {
  std::vector<float> values(info.elements());
  file.read_floats(info, 0, values);
  if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }))
    throw Error(PG_DATA_LOSS, name, "tensor " + name + " holds NaN or infinity");
  std::vector<uint8_t> bytes;
  if (type == type_of(info.dtype)) {
    bytes.resize(info.end - info.begin);
    file.read_bytes(info, 0, bytes);
  } else {
    const auto* first = reinterpret_cast<const uint8_t*>(values.data());
    bytes.assign(first, first + values.size() * sizeof(float));
  }
  return bytes;
}

AdapterModule read_module(const SafetensorsFile& file, const Pair& pair, float scaling) {
  AdapterModule module;
  module.rank = static_cast<uint32_t>(pair.a->shape[0]);
  module.scaling = scaling;
  module.type = pair.a->dtype == pair.b->dtype ? type_of(pair.a->dtype) : AdapterType::kF32;
  module.a = read_side(file, *pair.a, pair.a_name, module.type);
  module.b = read_side(file, *pair.b, pair.b_name, module.type);
  return module;
}

std::string read_adapter_config(const std::string& dir) {
  return read_text_file(dir + "/adapter_config.json", kMaxConfigBytes);
}

SafetensorsFile open_weights(const std::string& dir) {
  const std::string path = dir + "/" + kWeightsFile;
  if (!file_exists(path) && file_exists(dir + "/adapter_model.bin"))
    throw Error(PG_UNIMPLEMENTED, "adapter_model.bin",
                "adapter_model.bin is a pickle, which can run code; save the adapter as safetensors");
  return SafetensorsFile(path);
}

}  // namespace

AdapterWeights load_adapter(const std::string& dir, const ModelConfig& config) {
  const AdapterConfig rules(read_adapter_config(dir));
  const SafetensorsFile file = open_weights(dir);

  // First all names and shapes, then the first byte of a tensor.
  std::vector<Pair> pairs(static_cast<size_t>(config.layers) * 7);
  std::set<std::string, std::less<>> known;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const std::string module = module_name(static_cast<uint32_t>(i / 7), i % 7);
    if (!rules.targets(module)) continue;
    const Shape2 shape = projection_shape(config, static_cast<Projection>(i % 7));
    const uint32_t rank = rules.rank(module);
    Pair& pair = pairs[i];
    pair.a_name = *known.insert(tensor_name(module, 'A')).first;
    pair.b_name = *known.insert(tensor_name(module, 'B')).first;
    pair.a = &require(file, pair.a_name, rank, shape.k);
    pair.b = &require(file, pair.b_name, shape.n, rank);
  }
  if (known.empty())
    throw Error(PG_FAILED_PRECONDITION, "target_modules",
                "adapter_config.json: target_modules selects no layer of this model");
  for (const auto& [name, info] : file.header().tensors)
    if (!known.contains(name))
      throw Error(PG_FAILED_PRECONDITION, name.substr(0, 120),
                  std::string(kWeightsFile) + " has tensor " + name.substr(0, 120) +
                      ", which adapter_config.json and this model have no place for");

  AdapterWeights adapter;
  adapter.base_model = rules.base_model();
  adapter.modules.resize(pairs.size());
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (pairs[i].a == nullptr) continue;
    adapter.modules[i] = read_module(file, pairs[i], rules.scaling(module_name(static_cast<uint32_t>(i / 7), i % 7)));
    adapter.max_rank = std::max(adapter.max_rank, adapter.modules[i].rank);
  }
  return adapter;
}

}  // namespace polygraft
