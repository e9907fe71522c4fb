// Comparing whole models bit for bit.
#pragma once

#include "model/weights.h"

namespace polygraft {

inline bool weights_equal(const WeightMatrix& a, const WeightMatrix& b) {
  return a.scheme == b.scheme && a.n == b.n && a.k == b.k && a.group == b.group && a.codes == b.codes &&
         a.scales == b.scales && a.minimums == b.minimums && a.values == b.values && a.order == b.order;
}

inline bool weights_equal(const LayerWeights& a, const LayerWeights& b) {
  if (a.attention_norm != b.attention_norm || a.mlp_norm != b.mlp_norm || a.q_norm != b.q_norm || a.k_norm != b.k_norm)
    return false;
  for (size_t p = 0; p < 7; ++p)
    if (!weights_equal(a.projections[p], b.projections[p]) || a.biases[p] != b.biases[p]) return false;
  return true;
}

inline bool weights_equal(const ModelWeights& a, const ModelWeights& b) {
  if (!weights_equal(a.embedding, b.embedding) || !weights_equal(a.head, b.head) || a.final_norm != b.final_norm ||
      a.layers.size() != b.layers.size())
    return false;
  for (size_t i = 0; i < a.layers.size(); ++i)
    if (!weights_equal(a.layers[i], b.layers[i])) return false;
  return true;
}

}  // namespace polygraft
