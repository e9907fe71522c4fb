// A model and adapters of known shapes with random weights, for benchmarks.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <string>

#include "model/backend.h"

namespace polygraft::bench {

inline ModelConfig shape_config(const std::string& name) {
  ModelConfig c;
  c.architecture = "llama";
  c.head_dim = 64;
  c.max_position = 2048;
  if (name == "1.1b") {
    c.vocab_size = 32000, c.hidden_size = 2048, c.ffn_size = 5632, c.layers = 22, c.heads = 32, c.kv_heads = 4;
  } else {
    c.vocab_size = 49152, c.hidden_size = 576, c.ffn_size = 1536, c.layers = 30, c.heads = 9, c.kv_heads = 3;
    c.tied_head = true;
  }
  return c;
}

inline std::mt19937 random_engine(1);

inline WeightMatrix random_matrix(Scheme scheme, uint32_t group, Shape2 shape) {
  WeightMatrix w;
  w.scheme = scheme;
  w.n = shape.n;
  w.k = shape.k;
  w.group = group;
  w.codes.resize(static_cast<size_t>(w.n) * (scheme == Scheme::kW8 ? w.k : w.k / 2));
  for (size_t i = 0; i + 4 <= w.codes.size(); i += 4) {
    const uint32_t bits = static_cast<uint32_t>(random_engine());
    std::memcpy(&w.codes[i], &bits, 4);
  }
  const size_t groups = static_cast<size_t>(w.n) * w.groups();
  w.scales.assign(groups, scheme == Scheme::kW8 ? 0x1000 : 0x211f);  // 0.0005, 0.01
  if (scheme == Scheme::kW4) w.minimums.assign(groups, 0xacd0);      // -0.075
  return w;
}

inline ModelWeights random_weights(const ModelConfig& c, uint32_t group) {
  ModelWeights w;
  w.embedding = random_matrix(Scheme::kW8, 64, {c.vocab_size, c.hidden_size});
  if (!c.tied_head) w.head = random_matrix(Scheme::kW8, 64, {c.vocab_size, c.hidden_size});
  w.final_norm.assign(c.hidden_size, 1.0f);
  for (uint32_t l = 0; l < c.layers; ++l) {
    LayerWeights layer;
    layer.attention_norm.assign(c.hidden_size, 1.0f);
    layer.mlp_norm.assign(c.hidden_size, 1.0f);
    for (uint32_t p = 0; p < 7; ++p)
      layer.projections[p] = random_matrix(Scheme::kW4, group, projection_shape(c, static_cast<Projection>(p)));
    w.layers.push_back(std::move(layer));
  }
  return w;
}

inline AdapterWeights random_adapter(const ModelConfig& c) {
  constexpr uint32_t kRank = 16;
  AdapterWeights a;
  a.max_rank = kRank;
  a.modules.resize(static_cast<size_t>(c.layers) * 7);
  for (size_t i = 0; i < a.modules.size(); ++i) {
    const Shape2 shape = projection_shape(c, static_cast<Projection>(i % 7));
    AdapterModule& m = a.modules[i];
    m.rank = kRank;
    m.scaling = 2.0f;
    m.type = AdapterType::kBf16;
    m.a.assign(static_cast<size_t>(kRank) * shape.k * 2, 0x3a);  // bf16 0x3a3a: 0.0007
    m.b.assign(static_cast<size_t>(kRank) * shape.n * 2, 0x3a);
  }
  return a;
}

}  // namespace polygraft::bench
