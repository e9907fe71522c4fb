#include "calibrate/layer_runner.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "model/quantize.h"

namespace polygraft {

LayerRunner::LayerRunner(const ModelConfig& config, Backend& backend, uint32_t sequence)
    : config_(config), backend_(backend), sequence_(sequence), tokens_(sequence) {
  config_.layers = 1;
  config_.vocab_size = 1;
  config_.tied_head = true;
  blocks_.resize((sequence + kKvBlockTokens - 1) / kKvBlockTokens);
  std::iota(blocks_.begin(), blocks_.end(), 0u);
  kv_ = backend.create_kv_pool(config_, static_cast<uint32_t>(blocks_.size()));
  qkv_ = backend.create_buffer(size_t{sequence} * (config.q_dim() + 2 * config.kv_dim()));
}

void LayerRunner::load(LayerWeights layer) {
  model_.reset();
  ModelWeights weights;
  weights.embedding = allocate_matrix(1, config_.hidden_size, Scheme::kF32, 0);
  weights.final_norm.assign(config_.hidden_size, 1);
  weights.layers.push_back(std::move(layer));
  model_ = backend_.upload_model(config_, std::move(weights), {});
}

template <class Run>
void LayerRunner::each_sequence(size_t rows, Run&& run) {
  for (size_t first = 0; first < rows; first += sequence_) {
    SequenceSpan span;
    span.count = static_cast<uint32_t>(std::min<size_t>(sequence_, rows - first));
    span.kv_blocks = blocks_;
    StepBatch batch;
    batch.tokens = std::span<const uint32_t>(tokens_).first(span.count);
    batch.sequences = {&span, 1};
    run(batch, first);
  }
}

void LayerRunner::normalize(int which, const std::vector<float>& x, std::vector<float>& y) {
  y.resize(x.size());
  each_sequence(x.size() / config_.hidden_size, [&](const StepBatch& batch, size_t first) {
    const size_t at = first * config_.hidden_size;
    backend_.rms_norm(*model_, 0, which, batch.rows(), x.data() + at, y.data() + at);
  });
}

void LayerRunner::attend(const std::vector<float>& x, std::vector<float>& y) {
  const size_t rows = x.size() / config_.hidden_size;
  y.resize(rows * config_.q_dim());
  each_sequence(rows, [&](const StepBatch& batch, size_t first) {
    backend_.linear(*model_, batch,
                    {.group = LinearGroup::kQkv, .x = x.data() + first * config_.hidden_size, .y = qkv_->data()});
    backend_.rope_and_store_kv(*model_, batch, 0, qkv_->data(), *kv_);
    backend_.attention(*model_, batch, 0, qkv_->data(), *kv_, y.data() + first * config_.q_dim());
  });
}

void LayerRunner::add_attention(const std::vector<float>& x, std::vector<float>& residual) {
  each_sequence(residual.size() / config_.hidden_size, [&](const StepBatch& batch, size_t first) {
    backend_.linear(*model_, batch,
                    {.group = LinearGroup::kO,
                     .epilogue = Epilogue::kAdd,
                     .x = x.data() + first * config_.q_dim(),
                     .y = residual.data() + first * config_.hidden_size});
  });
}

void LayerRunner::gate_up(const std::vector<float>& x, std::vector<float>& y) {
  const size_t rows = x.size() / config_.hidden_size;
  y.resize(rows * config_.ffn_size);
  each_sequence(rows, [&](const StepBatch& batch, size_t first) {
    backend_.linear(*model_, batch,
                    {.group = LinearGroup::kGateUp,
                     .epilogue = Epilogue::kSwiGlu,
                     .x = x.data() + first * config_.hidden_size,
                     .y = y.data() + first * config_.ffn_size});
  });
}

void LayerRunner::add_mlp(const std::vector<float>& x, std::vector<float>& residual) {
  each_sequence(residual.size() / config_.hidden_size, [&](const StepBatch& batch, size_t first) {
    backend_.linear(*model_, batch,
                    {.group = LinearGroup::kDown,
                     .epilogue = Epilogue::kAdd,
                     .x = x.data() + first * config_.ffn_size,
                     .y = residual.data() + first * config_.hidden_size});
  });
}

}  // namespace polygraft
