#include "cpu/cpu_model.h"

#include <algorithm>
#include <utility>

namespace polygraft {
namespace {

// A part's bias by tile; empty if it has none.
AlignedBuffer pack_bias(const std::vector<float>& bias) {
  if (bias.empty()) return {};
  AlignedBuffer buffer(static_cast<size_t>(tiles_of(static_cast<uint32_t>(bias.size()))) * kLanes * sizeof(float));
  std::ranges::copy(bias, buffer.as<float>());
  return buffer;
}

uint64_t linear_bytes(const LinearOp& op) {
  uint64_t bytes = 0;
  for (const PackedMatrix& matrix : op.matrices) bytes += matrix.bytes();
  for (const LinearPart& part : op.parts) bytes += part.bias.bytes();
  return bytes;
}

// Where the op has its input in the form that a matrix wants, which it may be the first to want.
uint32_t form_of(LinearOp& op, const TileMatrix& matrix, const uint32_t* order, bool int8) {
  const uint32_t group = int8 && matrix.scheme != Scheme::kF32 ? matrix.group : 0;
  const auto same = [&](const InputForm& form) {
    return form.group == group && (form.order == order || (form.order && order && std::equal(order, order + matrix.k, form.order)));
  };
  const auto found = std::ranges::find_if(op.forms, same);
  if (found != op.forms.end()) return static_cast<uint32_t>(found - op.forms.begin());
  op.forms.push_back({.group = group, .order = order});
  return static_cast<uint32_t>(op.forms.size() - 1);
}

// Packs one matrix for all parts from `first` on that can share it; of those packed, `sources` are left empty.
using Pack = std::function<PackedMatrix(std::vector<WeightMatrix>, bool interleave)>;
void pack_shared(LinearOp& op, std::vector<WeightMatrix>& sources, size_t first, bool interleave, bool int8,
                 const Pack& pack) {
  std::vector<LinearPart*> parts;
  std::vector<WeightMatrix> shared;
  for (size_t p = first; p < op.parts.size(); ++p)
    if (sources[p].n != 0 && (p == first || packs_with(sources[p], shared[0]))) {
      parts.push_back(&op.parts[p]);
      shared.push_back(std::exchange(sources[p], {}));
    }
  op.matrices.push_back(pack(std::move(shared), interleave));
  const PackedMatrix& matrix = op.matrices.back();
  const uint32_t form = form_of(op, matrix.view(), matrix.order(), int8);
  uint32_t first_tile = 0;
  for (LinearPart* part : parts) {
    part->matrix = matrix.view();
    part->first_tile = first_tile;
    part->tile_step = interleave ? static_cast<uint32_t>(parts.size()) : 1;
    part->form = form;
    first_tile += interleave ? 1 : tiles_of(part->n);
  }
}

}  // namespace

std::vector<LinearPart> linear_parts(const ModelConfig& config, LinearGroup group) {
  const auto part = [&](Projection projection, uint32_t offset) {
    return LinearPart{.projection = projection, .n = projection_shape(config, projection).n, .output_offset = offset};
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

CpuModel::CpuModel(const ModelConfig& model_config, ModelWeights weights, bool int8, ThreadPool& pool,
                   const std::function<void(uint64_t, uint64_t)>& progress)
    : config(model_config), final_norm(std::move(weights.final_norm)), rope(model_config) {
  uint64_t total = weight_bytes(weights.embedding) + weight_bytes(weights.head), done = 0;
  for (const LayerWeights& layer : weights.layers)
    for (const WeightMatrix& matrix : layer.projections) total += weight_bytes(matrix);
  BufferArena arena;
  const Pack pack = [&](std::vector<WeightMatrix> parts, bool interleave) {
    for (const WeightMatrix& part : parts) done += weight_bytes(part);
    PackedMatrix packed(std::move(parts), interleave, arena, pool);
    if (progress) progress(done, total);
    return packed;
  };
  // `sources`: of the op's parts.
  const auto fill = [&](LinearOp& op, std::vector<WeightMatrix> sources, bool interleave) {
    for (size_t p = 0; p < op.parts.size(); ++p)
      if (sources[p].n != 0) pack_shared(op, sources, p, interleave, int8, pack);
  };

  std::vector<WeightMatrix> one;
  one.push_back(std::move(weights.embedding));
  embedding_ = pack(std::move(one), false);
  head_.parts.push_back({.projection = {}, .n = config.vocab_size, .output_offset = 0, .matrix = embedding_.view()});
  if (weights.head.n != 0) {
    std::vector<WeightMatrix> source;
    source.push_back(std::move(weights.head));
    fill(head_, std::move(source), false);
  } else {
    form_of(head_, embedding_.view(), nullptr, int8);
  }
  bytes_ = embedding_.bytes() + linear_bytes(head_) + 4 * final_norm.size();
  for (LayerWeights& source : weights.layers) {
    CpuLayer layer;
    layer.norms = {std::move(source.attention_norm), std::move(source.mlp_norm)};
    layer.q_norm = std::move(source.q_norm);
    layer.k_norm = std::move(source.k_norm);
    for (const LinearGroup group : kLinearGroups) {
      LinearOp& op = layer.linears[static_cast<size_t>(group)];
      op.parts = linear_parts(config, group);
      std::vector<WeightMatrix> sources;
      for (LinearPart& part : op.parts) {
        sources.push_back(std::move(source.projections[static_cast<size_t>(part.projection)]));
        part.bias = pack_bias(source.biases[static_cast<size_t>(part.projection)]);
      }
      fill(op, std::move(sources), group == LinearGroup::kGateUp);
      bytes_ += linear_bytes(op);
    }
    bytes_ += 4 * (layer.norms[0].size() + layer.norms[1].size() + layer.q_norm.size() + layer.k_norm.size());
    layers.push_back(std::move(layer));
  }
}

}  // namespace polygraft
