// One layer of a model at a time on a backend, so that a model in full precision never has to fit into memory.
#pragma once

#include <memory>
#include <vector>

#include "model/backend.h"

namespace polygraft {

// Runs the ops of a layer over many sequences whose activations the caller holds, all sequences one after the other in
// one array of rows. Activations are not rounded if the backend does not round them.
class LayerRunner {
 public:
  // Sequences of up to `sequence` tokens.
  LayerRunner(const ModelConfig& config, Backend& backend, uint32_t sequence);

  // The layer that the ops below use. Projections that none of them will use may be in any scheme.
  void load(LayerWeights layer);

  // y = norm(x), [rows][hidden]; `which`: 0 before attention, 1 before the MLP.
  void normalize(int which, const std::vector<float>& x, std::vector<float>& y);
  // y = attention(qkv(x)), [rows][q_dim].
  void attend(const std::vector<float>& x, std::vector<float>& y);
  // residual += o(x).
  void add_attention(const std::vector<float>& x, std::vector<float>& residual);
  // y = silu(gate(x)) * up(x), [rows][ffn].
  void gate_up(const std::vector<float>& x, std::vector<float>& y);
  // residual += down(x).
  void add_mlp(const std::vector<float>& x, std::vector<float>& residual);

 private:
  // Calls `run(batch, first row)` for each sequence of the rows.
  template <class Run>
  void each_sequence(size_t rows, Run&& run);

  ModelConfig config_;  // of one layer
  Backend& backend_;
  uint32_t sequence_;
  std::unique_ptr<DeviceModel> model_;
  std::unique_ptr<KvPool> kv_;
  std::unique_ptr<DeviceBuffer> qkv_;
  std::vector<uint32_t> blocks_, tokens_;
};

}  // namespace polygraft
