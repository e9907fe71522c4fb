// The weights of a model as a list of named arrays: what a checkpoint must have, and how the cache stores it.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/loader.h"
#include "model/safetensors.h"
#include "model/weight_source.h"
#include "model/weights.h"

namespace polygraft {

// A matrix or vector of the model under its Hugging Face name; exactly one of the two pointers is set.
struct NamedWeight {
  std::string name;
  std::vector<uint64_t> shape;
  WeightMatrix* matrix = nullptr;
  std::vector<float>* vector = nullptr;
};
// All that a model of this config has, and where in `weights` it belongs, allocated or not.
std::vector<NamedWeight> named_weights(const ModelConfig& config, ModelWeights& weights);

// All of them allocated for these options, and zero. `own`: matrices that are held otherwise, by name.
ModelWeights allocate_weights(const ModelConfig& config, const QuantizeOptions& options,
                              const std::map<std::string, OwnGrid>& own = {});

// One array of bytes as the cache stores it: a vector, or codes, scales, minimums, order or values of a matrix.
struct NamedBytes {
  std::string name;
  DType dtype = DType::kU8;
  std::vector<uint64_t> shape;
  std::span<uint8_t> bytes;
};
// The arrays of allocated weights.
std::vector<NamedBytes> named_bytes(const ModelConfig& config, ModelWeights& weights);
// Their names, dtypes and shapes for these options, without any bytes.
std::vector<NamedBytes> expected_arrays(const ModelConfig& config, const QuantizeOptions& options);

}  // namespace polygraft
