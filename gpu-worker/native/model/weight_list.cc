#include "model/weight_list.h"

#include "model/quantize.h"

namespace polygraft {
namespace {

constexpr uint32_t kHeadGroup = 64;  // of the 8-bit embedding and head

bool has_bias(const ModelConfig& config, Projection projection) {
  switch (projection) {
    case Projection::kQ:
    case Projection::kK:
    case Projection::kV:
      return config.qkv_bias;
    case Projection::kO:
      return config.o_bias;
    default:
      return config.mlp_bias;
  }
}

// The embedding and the head are more sensitive than the layers and have a scheme of their own.
WeightMatrix allocate_head(uint32_t n, uint32_t k, const QuantizeOptions& options) {
  if (options.head_bits == 4) return allocate_matrix(n, k, Scheme::kW4, options.group);
  if (options.head_bits == 8) return allocate_matrix(n, k, Scheme::kW8, kHeadGroup);
  return allocate_matrix(n, k, Scheme::kF32, 0);
}

template <class T>
std::span<uint8_t> bytes_of(std::vector<T>& values) {
  return {reinterpret_cast<uint8_t*>(values.data()), values.size() * sizeof(T)};
}

// `n` rows of a matrix of `weights`.
WeightMatrix allocate(const NamedWeight& weight, const ModelWeights& weights, uint32_t n, uint32_t k,
                      const QuantizeOptions& options) {
  const bool head = weight.matrix == &weights.embedding || weight.matrix == &weights.head;
  return head ? allocate_head(n, k, options) : allocate_matrix(n, k, options.scheme, options.group);
}

// The arrays of a matrix of `n` rows.
void append_arrays(const std::string& name, uint64_t n, WeightMatrix& m, std::vector<NamedBytes>& all) {
  if (m.scheme == Scheme::kF32) {
    all.push_back({name, DType::kF32, {n, m.k}, bytes_of(m.values)});
    return;
  }
  all.push_back({name + ".codes", DType::kU8, {n, m.codes.size() / m.n}, bytes_of(m.codes)});
  all.push_back({name + ".scales", DType::kF16, {n, m.groups()}, bytes_of(m.scales)});
  if (m.scheme == Scheme::kW4)
    all.push_back({name + ".minimums", DType::kF16, {n, m.groups()}, bytes_of(m.minimums)});
  if (!m.order.empty()) all.push_back({name + ".order", DType::kI32, {m.k}, bytes_of(m.order)});
}

}  // namespace

std::vector<NamedWeight> named_weights(const ModelConfig& config, ModelWeights& weights) {
  weights.layers.resize(config.layers);
  std::vector<NamedWeight> all;
  const auto matrix = [&](std::string name, WeightMatrix& m, Shape2 shape) {
    all.push_back({std::move(name), {shape.n, shape.k}, &m, nullptr});
  };
  const auto vector = [&](std::string name, std::vector<float>& v, uint64_t size) {
    all.push_back({std::move(name), {size}, nullptr, &v});
  };
  matrix("model.embed_tokens.weight", weights.embedding, {config.vocab_size, config.hidden_size});
  for (uint32_t i = 0; i < config.layers; ++i) {
    LayerWeights& layer = weights.layers[i];
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    vector(prefix + "input_layernorm.weight", layer.attention_norm, config.hidden_size);
    for (size_t p = 0; p < 7; ++p) {
      const auto projection = static_cast<Projection>(p);
      const Shape2 shape = projection_shape(config, projection);
      const std::string name = prefix + (p < 4 ? "self_attn." : "mlp.") + kProjectionNames[p];
      matrix(name + ".weight", layer.projections[p], shape);
      if (has_bias(config, projection)) vector(name + ".bias", layer.biases[p], shape.n);
    }
    if (config.qk_norm) {
      vector(prefix + "self_attn.q_norm.weight", layer.q_norm, config.head_dim);
      vector(prefix + "self_attn.k_norm.weight", layer.k_norm, config.head_dim);
    }
    vector(prefix + "post_attention_layernorm.weight", layer.mlp_norm, config.hidden_size);
  }
  vector("model.norm.weight", weights.final_norm, config.hidden_size);
  if (!config.tied_head) matrix("lm_head.weight", weights.head, {config.vocab_size, config.hidden_size});
  return all;
}

ModelWeights allocate_weights(const ModelConfig& config, const QuantizeOptions& options,
                              const std::map<std::string, OwnGrid>& own) {
  ModelWeights weights;
  for (const NamedWeight& weight : named_weights(config, weights)) {
    if (weight.vector != nullptr) {
      weight.vector->resize(weight.shape[0]);
      continue;
    }
    const auto n = static_cast<uint32_t>(weight.shape[0]), k = static_cast<uint32_t>(weight.shape[1]);
    const auto kept = own.find(weight.name);
    if (kept == own.end()) {
      *weight.matrix = allocate(weight, weights, n, k, options);
      continue;
    }
    *weight.matrix = allocate_matrix(n, k, kept->second.scheme, kept->second.group);
    if (kept->second.ordered) weight.matrix->order.resize(k);
  }
  return weights;
}

std::vector<NamedBytes> named_bytes(const ModelConfig& config, ModelWeights& weights) {
  std::vector<NamedBytes> all;
  for (const NamedWeight& weight : named_weights(config, weights)) {
    if (weight.vector != nullptr)
      all.push_back({weight.name, DType::kF32, weight.shape, bytes_of(*weight.vector)});
    else
      append_arrays(weight.name, weight.shape[0], *weight.matrix, all);
  }
  return all;
}

std::vector<NamedBytes> expected_arrays(const ModelConfig& config, const QuantizeOptions& options) {
  ModelWeights unallocated;
  std::vector<NamedBytes> all;
  for (const NamedWeight& weight : named_weights(config, unallocated)) {
    if (weight.vector != nullptr) {
      all.push_back({weight.name, DType::kF32, weight.shape, {}});
      continue;
    }
    // One row tells the shapes.
    WeightMatrix row = allocate(weight, unallocated, 1, static_cast<uint32_t>(weight.shape[1]), options);
    append_arrays(weight.name, weight.shape[0], row, all);
  }
  for (NamedBytes& array : all) array.bytes = {};
  return all;
}

}  // namespace polygraft
