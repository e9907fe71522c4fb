#include "model/stored.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "model/error.h"
#include "model/parallel_for.h"
#include "model/progress.h"
#include "model/quantize.h"
#include "model/safetensors_writer.h"
#include "model/weight_list.h"

namespace polygraft {
namespace {

constexpr const char* kFamily = "polygraft-weights-";
constexpr const char* kFormat = "polygraft-weights-1";

constexpr std::pair<const char*, Scheme> kSchemes[] = {
    {"w4", Scheme::kW4}, {"nf4", Scheme::kNf4}, {"w8", Scheme::kW8}, {"f32", Scheme::kF32}};

const std::string& text_of(const SafetensorsHeader& header, const char* key) {
  const auto at = header.metadata.find(key);
  if (at == header.metadata.end())
    throw Error(PG_DATA_LOSS, key, std::string("model.safetensors is quantized, but does not say its ") + key);
  return at->second;
}

uint32_t number_of(const SafetensorsHeader& header, const char* key, std::initializer_list<uint32_t> allowed) {
  const std::string& text = text_of(header, key);
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size())
    for (const uint32_t one : allowed)
      if (value == one) return value;
  throw Error(PG_UNIMPLEMENTED, key,
              "model.safetensors is quantized with " + std::string(key) + " " + text.substr(0, 32) +
                  ", which is not served");
}

bool finite_half(uint16_t bits) { return (bits & 0x7c00) != 0x7c00; }

// NaN and infinity would spoil every answer.
void check_numbers(const NamedBytes& array) {
  bool finite = true;
  if (array.dtype == DType::kF16)
    for (size_t i = 0; i < array.bytes.size(); i += 2) {
      uint16_t bits;
      std::memcpy(&bits, array.bytes.data() + i, 2);
      finite = finite && finite_half(bits);
    }
  if (array.dtype == DType::kF32)
    for (size_t i = 0; i < array.bytes.size(); i += 4) {
      float value;
      std::memcpy(&value, array.bytes.data() + i, 4);
      finite = finite && std::isfinite(value);
    }
  if (!finite) throw Error(PG_DATA_LOSS, array.name, "tensor " + array.name + " holds NaN or infinity");
}

void check_arrays(const Checkpoint& checkpoint, const ModelConfig& config, const QuantizeOptions& options) {
  const std::vector<NamedBytes> expected = expected_arrays(config, options);
  for (const NamedBytes& array : expected) {
    const CheckpointTensor* tensor = checkpoint.find(array.name);
    if (tensor == nullptr)
      throw Error(PG_FAILED_PRECONDITION, array.name,
                  "the checkpoint lacks tensor " + array.name + ", which its config.json and format call for");
    if (tensor->info->shape != array.shape || tensor->info->dtype != array.dtype)
      throw Error(PG_FAILED_PRECONDITION, array.name,
                  "tensor " + array.name + " is " + dtype_name(tensor->info->dtype) + " " +
                      shape_text(tensor->info->shape) + "; config.json and format call for " +
                      dtype_name(array.dtype) + " " + shape_text(array.shape));
  }
  if (expected.size() != checkpoint.tensors().size())
    throw Error(PG_UNIMPLEMENTED, "model.safetensors",
                "the checkpoint has " + std::to_string(checkpoint.tensors().size()) + " tensors; config.json calls for " +
                    std::to_string(expected.size()));
}

void expand(WeightMatrix& matrix) {
  if (matrix.scheme == Scheme::kF32) return;
  WeightMatrix out = allocate_matrix(matrix.n, matrix.k, Scheme::kF32, 0);
  parallel_for(matrix.n, 64, [&](uint64_t first, uint64_t last) {
    for (uint64_t row = first; row < last; ++row)
      for (uint32_t column = 0; column < matrix.k; ++column)
        out.values[row * matrix.k + matrix.input_of(column)] = dequantize(matrix, static_cast<uint32_t>(row), column);
  });
  matrix = std::move(out);
}

}  // namespace

std::optional<QuantizeOptions> stored_options(const Checkpoint& checkpoint) {
  if (checkpoint.files().size() != 1) return std::nullopt;
  const SafetensorsHeader& header = checkpoint.files().front().header();
  const auto format = header.metadata.find("format");
  if (format == header.metadata.end() || !format->second.starts_with(kFamily)) return std::nullopt;
  if (format->second != kFormat)
    throw Error(PG_UNIMPLEMENTED, "format",
                "model.safetensors has format " + format->second.substr(0, 64) + "; this engine reads " + kFormat);
  QuantizeOptions options;
  const std::string& scheme = text_of(header, "scheme");
  bool known = false;
  for (const auto& [name, value] : kSchemes)
    if (scheme == name) {
      options.scheme = value;
      known = true;
    }
  if (!known)
    throw Error(PG_UNIMPLEMENTED, "scheme",
                "model.safetensors has scheme " + scheme.substr(0, 32) + ", which is not served");
  options.group = number_of(header, "group", {32, 64, 128});
  options.head_bits = number_of(header, "head_bits", {4, 8, 32});
  return options;
}

ModelWeights read_stored(const Checkpoint& checkpoint, const ModelConfig& config, const QuantizeOptions& options,
                         const LoadProgress& progress) {
  check_arrays(checkpoint, config, options);
  ModelWeights weights = allocate_weights(config, options);
  const std::vector<NamedBytes> arrays = named_bytes(config, weights);
  uint64_t total = 0;
  for (const NamedBytes& array : arrays) total += array.bytes.size();
  Progress meter(progress, "read", total);
  for (const NamedBytes& array : arrays) {
    const CheckpointTensor& tensor = *checkpoint.find(array.name);
    tensor.file->read_bytes(*tensor.info, 0, array.bytes);
    check_numbers(array);
    meter.add(array.bytes.size());
  }
  meter.finish();
  return weights;
}

void write_stored(const std::string& path, const ModelConfig& config, const QuantizeOptions& options,
                  ModelWeights& weights, std::map<std::string, std::string> notes) {
  notes["format"] = kFormat;
  for (const auto& [name, value] : kSchemes)
    if (value == options.scheme) notes["scheme"] = name;
  notes["group"] = std::to_string(options.group);
  notes["head_bits"] = std::to_string(options.head_bits);
  if (write_safetensors(path, notes, named_bytes(config, weights))) return;
  std::error_code error;
  std::filesystem::remove(path, error);
  throw Error(PG_INTERNAL, "out_file", path + " cannot be written: is the disk full, or the folder not writable?");
}

void expand_to_f32(const ModelConfig& config, ModelWeights& weights) {
  for (const NamedWeight& weight : named_weights(config, weights))
    if (weight.matrix != nullptr) expand(*weight.matrix);
}

}  // namespace polygraft
