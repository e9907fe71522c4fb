// A float64 forward pass straight from the definitions: no packing, no batching, no paging, no tricks. What the engine
// computes is compared with this; this is compared with Hugging Face transformers by the golden tests.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/config.h"
#include "model/weights.h"

namespace polygraft::oracle {

// Dense weights of one matrix, [n][k] in the order of its inputs, dequantized as model/weights.h defines.
struct Dense {
  uint32_t n = 0, k = 0;
  std::vector<double> values;
};
Dense dense(const WeightMatrix& w);
// The low-rank update scaling * B A of a module, [n][k].
Dense delta(const AdapterModule& module, uint32_t n, uint32_t k);

// y[n] = W x.
std::vector<double> multiply(const Dense& w, std::span<const double> x);

// Angular frequencies of RoPE by pair, [head_dim / 2], scaling applied.
std::vector<double> rope_frequencies(const ModelConfig& config);

// A model in float64, dequantized once.
class Model {
 public:
  // `weights` must outlive this.
  Model(const ModelConfig& config, const ModelWeights& weights);
  // Logits [tokens][vocab] of one sequence; `adapter` may be nullptr.
  std::vector<std::vector<double>> forward(std::span<const uint32_t> tokens, const AdapterWeights* adapter) const;
  // The `count` tokens of the largest logits after `prompt`, the lowest id among equals. No stop token is heeded.
  std::vector<uint32_t> greedy(std::vector<uint32_t> prompt, uint32_t count, const AdapterWeights* adapter) const;

 private:
  using Rows = std::vector<std::vector<double>>;
  Rows project(const Rows& x, uint32_t layer, Projection projection, const AdapterWeights* adapter) const;
  Rows attend(const Rows& normed, uint32_t layer, const AdapterWeights* adapter) const;

  const ModelConfig& config_;
  const ModelWeights& weights_;
  Dense embedding_, head_;
  std::vector<Dense> projections_;  // [layer * 7 + projection]
  std::vector<double> frequencies_;
};

}  // namespace polygraft::oracle
