#include "model/quantized_source.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "model/error.h"
#include "model/half.h"
#include "model/weight_list.h"

namespace polygraft {
namespace {

constexpr std::string_view kWeight = ".weight";

class QuantizedSource final : public WeightSource {
 public:
  QuantizedSource(const Checkpoint& checkpoint, const ModelConfig& config) : checkpoint_(checkpoint) {
    ModelWeights unallocated;
    for (const NamedWeight& weight : named_weights(config, unallocated)) add(weight, config);
    for (const auto& [name, tensor] : checkpoint.tensors()) check_rest(name, tensor, config);
  }

  const SourceTensor& at(const std::string& name) const override { return *tensors_.at(name); }
  std::vector<const InputFile*> files() const override { return checkpoint_.input_files(); }

  Precision precision() const override {
    if (quantized_.empty()) return Precision::kFull;
    const auto on_grid = [this](const std::string& name) { return tensors_.at(name)->grid().has_value(); };
    const auto with = static_cast<size_t>(std::ranges::count_if(quantized_, on_grid));
    return 2 * with > quantized_.size() ? Precision::kFourBit : Precision::kQuantized;
  }

 private:
  void add(const NamedWeight& weight, const ModelConfig& config) {
    const bool nf4 = config.quantization.method == FileQuantization::Method::kNf4;
    const std::string layer = weight.name.ends_with(kWeight)
                                  ? weight.name.substr(0, weight.name.size() - kWeight.size())
                                  : weight.name;
    const bool packed = weight.shape.size() == 2 &&
                        checkpoint_.find(nf4 ? weight.name + ".absmax" : layer + ".qweight") != nullptr;
    if (packed) {
      const auto n = static_cast<uint32_t>(weight.shape[0]), k = static_cast<uint32_t>(weight.shape[1]);
      if (nf4)
        use(weight.name, {"", ".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map",
                          ".quant_state.bitsandbytes__nf4"});
      else
        use(layer, {".qweight", ".qzeros", ".scales", ".g_idx"});
      tensors_.emplace(weight.name, nf4 ? nf4_tensor(checkpoint_, layer, n, k)
                                        : int4_tensor(checkpoint_, layer, n, k, config.quantization));
      quantized_.push_back(weight.name);
      return;
    }
    const CheckpointTensor* found = checkpoint_.find(weight.name);
    const bool floats = found != nullptr && is_float_dtype(found->info->dtype);
    const CheckpointTensor& tensor =
        expect_tensor(checkpoint_, weight.name, floats ? found->info->dtype : DType::kF16, weight.shape);
    used_.insert(weight.name);
    tensors_.emplace(weight.name, float_tensor(tensor));
  }

  void use(const std::string& name, std::initializer_list<const char*> parts) {
    for (const char* part : parts) used_.insert(name + part);
  }

  // AutoGPTQ writes biases of zeros into layers that have none.
  void check_rest(const std::string& name, const CheckpointTensor& tensor, const ModelConfig& config) const {
    if (used_.contains(name) || name.ends_with(".rotary_emb.inv_freq") ||
        (config.tied_head && name == "lm_head.weight"))
      return;
    bool zeros = name.ends_with("_proj.bias") && is_float_dtype(tensor.info->dtype);
    if (zeros) {
      std::vector<float> values(tensor.info->elements());
      tensor.read_floats(0, values);
      zeros = std::ranges::all_of(values, [](float v) { return v == 0; });
    }
    if (!zeros)
      throw Error(PG_UNIMPLEMENTED, name,
                  "the checkpoint has tensor " + name.substr(0, 128) + ", which a model of its config.json does not use");
  }

  const Checkpoint& checkpoint_;
  std::map<std::string, std::unique_ptr<SourceTensor>, std::less<>> tensors_;
  std::vector<std::string> quantized_;
  std::set<std::string, std::less<>> used_;
};

}  // namespace

const CheckpointTensor& expect_tensor(const Checkpoint& checkpoint, const std::string& name, DType dtype,
                                      const std::vector<uint64_t>& shape) {
  const CheckpointTensor* tensor = checkpoint.find(name);
  if (tensor == nullptr)
    throw Error(PG_FAILED_PRECONDITION, name, "the checkpoint lacks tensor " + name + ", which config.json calls for");
  if (tensor->info->shape != shape || tensor->info->dtype != dtype)
    throw Error(PG_FAILED_PRECONDITION, name,
                "tensor " + name + " is " + dtype_name(tensor->info->dtype) + " " + shape_text(tensor->info->shape) +
                    "; config.json calls for " + dtype_name(dtype) + " " + shape_text(shape));
  return *tensor;
}

uint16_t finite_fp16(float value, const std::string& name) {
  const uint16_t half = float_to_fp16(value);
  if ((half & 0x7c00) == 0x7c00)
    throw Error(PG_FAILED_PRECONDITION, name, "tensor " + name + " holds a number that fp16 cannot hold");
  return half;
}

std::optional<uint32_t> served_group(uint32_t group) {
  for (const uint32_t served : {128u, 64u, 32u})
    if (group % served == 0) return served;
  return std::nullopt;
}

std::unique_ptr<WeightSource> quantized_source(const Checkpoint& checkpoint, const ModelConfig& config) {
  return std::make_unique<QuantizedSource>(checkpoint, config);
}

}  // namespace polygraft
