// The forward pass of the Llama family: which ops run in which order.
#pragma once

#include <memory>
#include <span>

#include "model/backend.h"

namespace polygraft {

// Activations of one step and the order of ops. One graph serves one step at a time.
class Graph {
 public:
  // `max_rows`: most tokens in a step.
  Graph(const ModelConfig& config, Backend& backend, const DeviceModel& model, uint32_t max_rows);
  ~Graph();
  // Runs a step: writes keys and values, returns logits [output_rows][vocab], valid until the next call.
  std::span<const float> forward(const StepBatch& batch, KvPool& kv);

 private:
  const ModelConfig& config_;
  Backend& backend_;
  const DeviceModel& model_;
  std::unique_ptr<DeviceBuffer> residual_, normed_, qkv_, attention_, ffn_;
};

}  // namespace polygraft
