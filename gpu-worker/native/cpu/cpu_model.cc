#include "cpu/cpu_model.h"

#include <utility>

namespace polygraft {
namespace {

// Biases in the order of tiles; empty if no part has one.
AlignedBuffer pack_bias(const LayerWeights& layer, const LinearOp& op, bool interleave) {
  bool any = false;
  for (const LinearPart& part : op.parts) any |= !layer.biases[static_cast<size_t>(part.projection)].empty();
  if (!any) return {};
  AlignedBuffer buffer(static_cast<size_t>(op.matrix.tiles()) * kLanes * sizeof(float));
  const uint32_t step = interleave ? static_cast<uint32_t>(op.parts.size()) : 1;
  uint32_t first_tile = 0;
  for (const LinearPart& part : op.parts) {
    const std::vector<float>& bias = layer.biases[static_cast<size_t>(part.projection)];
    for (size_t i = 0; i < bias.size(); ++i)
      buffer.as<float>()[(first_tile + i / kLanes * step) * kLanes + i % kLanes] = bias[i];
    first_tile += interleave ? 1 : tiles_of(part.n);
  }
  return buffer;
}

uint64_t linear_bytes(const LinearOp& op) { return op.matrix.bytes() + op.bias.bytes(); }

}  // namespace

std::vector<LinearPart> linear_parts(const ModelConfig& config, LinearGroup group) {
  const auto part = [&](Projection projection, uint32_t offset) {
    return LinearPart{projection, projection_shape(config, projection).n, offset};
  };
  switch (group) {
    case LinearGroup::kQkv:
      return {part(Projection::kQ, 0), part(Projection::kK, config.q_dim()),
              part(Projection::kV, config.q_dim() + config.kv_dim())};
    case LinearGroup::kO: return {part(Projection::kO, 0)};
    case LinearGroup::kGateUp: return {part(Projection::kGate, 0), part(Projection::kUp, 0)};
    case LinearGroup::kDown: return {part(Projection::kDown, 0)};
  }
  return {};
}

CpuModel::CpuModel(const ModelConfig& model_config, ModelWeights weights, ThreadPool& pool,
                   const std::function<void(uint64_t, uint64_t)>& progress)
    : config(model_config), final_norm(std::move(weights.final_norm)), rope(model_config) {
  uint64_t total = weight_bytes(weights.embedding) + weight_bytes(weights.head), done = 0;
  for (const LayerWeights& layer : weights.layers)
    for (const WeightMatrix& matrix : layer.projections) total += weight_bytes(matrix);
  BufferArena arena;
  const auto pack = [&](std::vector<WeightMatrix> parts, bool interleave) {
    for (const WeightMatrix& part : parts) done += weight_bytes(part);
    PackedMatrix packed(std::move(parts), interleave, arena, pool);
    if (progress) progress(done, total);
    return packed;
  };
  const auto pack_one = [&](WeightMatrix matrix) {
    std::vector<WeightMatrix> parts;
    parts.push_back(std::move(matrix));
    return pack(std::move(parts), false);
  };

  embedding_ = pack_one(std::move(weights.embedding));
  if (weights.head.n != 0) head_ = pack_one(std::move(weights.head));
  bytes_ = embedding_.bytes() + head_.bytes() + 4 * final_norm.size();
  for (LayerWeights& source : weights.layers) {
    CpuLayer layer;
    layer.norms = {std::move(source.attention_norm), std::move(source.mlp_norm)};
    layer.q_norm = std::move(source.q_norm);
    layer.k_norm = std::move(source.k_norm);
    for (const LinearGroup group : kLinearGroups) {
      LinearOp& op = layer.linears[static_cast<size_t>(group)];
      const bool interleave = group == LinearGroup::kGateUp;
      op.parts = linear_parts(config, group);
      std::vector<WeightMatrix> parts;
      for (const LinearPart& part : op.parts)
        parts.push_back(std::move(source.projections[static_cast<size_t>(part.projection)]));
      op.matrix = pack(std::move(parts), interleave);
      op.bias = pack_bias(source, op, interleave);
      bytes_ += linear_bytes(op);
    }
    bytes_ += 4 * (layer.norms[0].size() + layer.norms[1].size() + layer.q_norm.size() + layer.k_norm.size());
    layers.push_back(std::move(layer));
  }
}

}  // namespace polygraft
