// Fault injection: the real backend, except that attention throws for steps with a certain token.
#pragma once

#include <algorithm>
#include <utility>

#include "model/backend.h"
#include "model/error.h"

namespace polygraft::test {

class FaultyBackend : public Backend {
 public:
  FaultyBackend(Backend& real, uint32_t poison) : real_(real), poison_(poison) {}

  void attention(const DeviceModel& model, const StepBatch& batch, uint32_t layer, const float* qkv, const KvPool& kv,
                 float* y) override {
    if (layer == 1 && std::find(batch.tokens.begin(), batch.tokens.end(), poison_) != batch.tokens.end()) {
      throw Error(PG_RESOURCE_EXHAUSTED, "", "injected");
    }
    real_.attention(model, batch, layer, qkv, kv, y);
  }

  std::string device() const override { return real_.device(); }
  std::unique_ptr<DeviceModel> upload_model(const ModelConfig& config, ModelWeights weights,
                                            const std::function<void(uint64_t, uint64_t)>& progress) override {
    return real_.upload_model(config, std::move(weights), progress);
  }
  std::unique_ptr<DeviceAdapter> upload_adapter(const ModelConfig& config, const AdapterWeights& adapter) override {
    return real_.upload_adapter(config, adapter);
  }
  uint64_t adapter_bytes(const ModelConfig& config, const AdapterWeights& adapter) const override {
    return real_.adapter_bytes(config, adapter);
  }
  uint64_t kv_block_bytes(const ModelConfig& config) const override { return real_.kv_block_bytes(config); }
  std::unique_ptr<KvPool> create_kv_pool(const ModelConfig& config, uint32_t blocks) override {
    return real_.create_kv_pool(config, blocks);
  }
  std::unique_ptr<DeviceBuffer> create_buffer(size_t floats) override { return real_.create_buffer(floats); }
  void embed(const DeviceModel& model, const StepBatch& batch, float* y) override { real_.embed(model, batch, y); }
  void rms_norm(const DeviceModel& model, uint32_t layer, int which, uint32_t rows, const float* x, float* y) override {
    real_.rms_norm(model, layer, which, rows, x, y);
  }
  void linear(const DeviceModel& model, const StepBatch& batch, const LinearArgs& args) override {
    real_.linear(model, batch, args);
  }
  void rope_and_store_kv(const DeviceModel& model, const StepBatch& batch, uint32_t layer, float* qkv,
                         KvPool& kv) override {
    real_.rope_and_store_kv(model, batch, layer, qkv, kv);
  }
  std::span<const float> logits(const DeviceModel& model, const StepBatch& batch, const float* x) override {
    return real_.logits(model, batch, x);
  }
  uint32_t host_threads() const override { return real_.host_threads(); }
  void run_on_host(uint32_t count, const std::function<void(uint32_t i, uint32_t thread)>& task) override {
    real_.run_on_host(count, task);
  }
  void copy_kv_block(KvPool& kv, uint32_t from, uint32_t to) override { real_.copy_kv_block(kv, from, to); }

 private:
  Backend& real_;
  uint32_t poison_;
};

}  // namespace polygraft::test
