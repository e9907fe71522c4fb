#include "model/graph.h"

namespace polygraft {

Graph::Graph(const ModelConfig& config, Backend& backend, const DeviceModel& model, uint32_t max_rows)
    : config_(config), backend_(backend), model_(model) {
  const auto rows = [&](size_t columns) { return backend_.create_buffer(max_rows * columns); };
  residual_ = rows(config.hidden_size);
  normed_ = rows(config.hidden_size);
  qkv_ = rows(config.q_dim() + 2 * config.kv_dim());
  attention_ = rows(config.q_dim());
  ffn_ = rows(config.ffn_size);
}

Graph::~Graph() = default;

std::span<const float> Graph::forward(const StepBatch& batch, KvPool& kv) {
  float* residual = residual_->data();
  float* normed = normed_->data();
  float* qkv = qkv_->data();
  const auto linear = [&](uint32_t layer, LinearGroup group, Epilogue epilogue, const float* x, float* y) {
    backend_.linear(model_, batch, {.layer = layer, .group = group, .epilogue = epilogue, .x = x, .y = y});
  };

  backend_.embed(model_, batch, residual);
  for (uint32_t layer = 0; layer < config_.layers; ++layer) {
    backend_.rms_norm(model_, layer, 0, batch.rows(), residual, normed);
    linear(layer, LinearGroup::kQkv, Epilogue::kStore, normed, qkv);
    backend_.rope_and_store_kv(model_, batch, layer, qkv, kv);
    backend_.attention(model_, batch, layer, qkv, kv, attention_->data());
    linear(layer, LinearGroup::kO, Epilogue::kAdd, attention_->data(), residual);

    backend_.rms_norm(model_, layer, 1, batch.rows(), residual, normed);
    linear(layer, LinearGroup::kGateUp, Epilogue::kSwiGlu, normed, ffn_->data());
    linear(layer, LinearGroup::kDown, Epilogue::kAdd, ffn_->data(), residual);
  }
  return backend_.logits(model_, batch, residual);
}

}  // namespace polygraft
