#include "model/weight_source.h"

#include "model/checkpoint.h"
#include "model/error.h"
#include "model/gguf_model.h"
#include "model/quantized_source.h"
#include "model/source.h"

namespace polygraft {
namespace {

class FloatTensor final : public SourceTensor {
 public:
  explicit FloatTensor(const CheckpointTensor& tensor) : tensor_(tensor) {}
  uint64_t bytes() const override { return tensor_.info->end - tensor_.info->begin; }
  void read_floats(uint64_t first, std::span<float> out) const override { tensor_.read_floats(first, out); }

 private:
  const CheckpointTensor& tensor_;
};

class CheckpointSource final : public WeightSource {
 public:
  explicit CheckpointSource(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {
    for (const auto& [name, tensor] : checkpoint.tensors()) tensors_.emplace(name, tensor);
  }
  const SourceTensor& at(const std::string& name) const override { return tensors_.at(name); }
  std::vector<const InputFile*> files() const override { return checkpoint_.input_files(); }

 private:
  const Checkpoint& checkpoint_;
  std::map<std::string, FloatTensor, std::less<>> tensors_;
};

// A source together with the files that it reads.
template <class Files>
class Owning final : public WeightSource {
 public:
  Owning(std::unique_ptr<Files> files, std::unique_ptr<WeightSource> source)
      : files_(std::move(files)), source_(std::move(source)) {}
  const SourceTensor& at(const std::string& name) const override { return source_->at(name); }
  std::vector<const InputFile*> files() const override { return source_->files(); }
  Precision precision() const override { return source_->precision(); }

 private:
  std::unique_ptr<Files> files_;
  std::unique_ptr<WeightSource> source_;
};

template <class Files>
std::unique_ptr<WeightSource> owning(std::unique_ptr<Files> files, std::unique_ptr<WeightSource> source) {
  return std::make_unique<Owning<Files>>(std::move(files), std::move(source));
}

ModelFiles open_gguf(const std::string& path) {
  auto file = std::make_unique<GgufFile>(path);
  ModelFiles model;
  model.config = gguf_model_config(*file);
  auto source = gguf_source(*file, model.config);
  model.weights = owning(std::move(file), std::move(source));
  return model;
}

}  // namespace

void SourceTensor::read_grid(uint32_t, uint32_t, WeightMatrix&) const {
  throw Error(PG_INTERNAL, "", "a tensor without a grid of its own was asked for it");
}

std::unique_ptr<SourceTensor> float_tensor(const CheckpointTensor& tensor) {
  return std::make_unique<FloatTensor>(tensor);
}

std::unique_ptr<WeightSource> checkpoint_source(const Checkpoint& checkpoint) {
  return std::make_unique<CheckpointSource>(checkpoint);
}

ModelFiles open_model_files(const std::string& path) {
  if (is_gguf_path(path)) return open_gguf(path);
  ModelFiles model;
  model.config = read_model_config(path);
  model.config_text = read_text_file(path + "/config.json", kMaxConfigBytes);
  auto checkpoint = std::make_unique<Checkpoint>(path);
  const bool packed = model.config.quantization.method != FileQuantization::Method::kNone;
  if (!packed) check_tensors(*checkpoint, model.config);
  auto source = packed ? quantized_source(*checkpoint, model.config) : checkpoint_source(*checkpoint);
  model.weights = owning(std::move(checkpoint), std::move(source));
  return model;
}

}  // namespace polygraft
