// A model packed for the CPU's kernels.
#pragma once

#include <array>
#include <functional>
#include <vector>

#include "cpu/packing.h"
#include "cpu/rope_table.h"
#include "model/backend.h"

namespace polygraft {

// One projection within a group of linear layers that run as one op.
struct LinearPart {
  Projection projection;
  uint32_t n;              // outputs
  uint32_t output_offset;  // of its first output in the op's result
};

struct LinearOp {
  std::vector<LinearPart> parts;
  PackedMatrix matrix;
  AlignedBuffer bias;  // [tile][16], or empty
};

struct CpuLayer {
  std::array<std::vector<float>, 2> norms;  // attention, MLP
  std::vector<float> q_norm, k_norm;        // or empty
  std::array<LinearOp, 4> linears;          // by LinearGroup
};

class CpuModel : public DeviceModel {
 public:
  CpuModel(const ModelConfig& config, ModelWeights weights, ThreadPool& pool,
           const std::function<void(uint64_t, uint64_t)>& progress);
  uint64_t bytes() const override { return bytes_; }

  const PackedMatrix& head() const { return head_.tiles() ? head_ : embedding_; }

  ModelConfig config;
  std::vector<CpuLayer> layers;
  std::vector<float> final_norm;
  // Grows as sequences do, which is why it is mutable: an op reserves positions before it starts its tickets.
  mutable RopeTable rope;

  const PackedMatrix& embedding() const { return embedding_; }

 private:
  PackedMatrix embedding_, head_;  // head_ is empty when tied
  uint64_t bytes_ = 0;
};

// The projections of a group, in the order of their tiles.
std::vector<LinearPart> linear_parts(const ModelConfig& config, LinearGroup group);
inline constexpr std::array<LinearGroup, 4> kLinearGroups = {LinearGroup::kQkv, LinearGroup::kO, LinearGroup::kGateUp,
                                                             LinearGroup::kDown};

}  // namespace polygraft
