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
  TileMatrix matrix{};     // which it may share with others of the group
  uint32_t first_tile = 0, tile_step = 1;
  uint32_t form = 0;       // of the op's input
  AlignedBuffer bias{};    // [tile][16], or empty
};

// How matrices take their input: rounded in groups of one size, and its columns in their order. One rounding serves all
// matrices of an op that agree.
struct InputForm {
  uint32_t group = 0;               // 0: as floats
  const uint32_t* order = nullptr;  // [k], null: as it comes
};

// Projections that share an input. Those of one scheme, group size and order of inputs are one matrix.
struct LinearOp {
  std::vector<LinearPart> parts;
  std::vector<PackedMatrix> matrices;
  std::vector<InputForm> forms;
};

struct CpuLayer {
  std::array<std::vector<float>, 2> norms;  // attention, MLP
  std::vector<float> q_norm, k_norm;        // or empty
  std::array<LinearOp, 4> linears;          // by LinearGroup
};

class CpuModel : public DeviceModel {
 public:
  // `int8`: activations are rounded where weights are.
  CpuModel(const ModelConfig& config, ModelWeights weights, bool int8, ThreadPool& pool,
           const std::function<void(uint64_t, uint64_t)>& progress);
  uint64_t bytes() const override { return bytes_; }

  // The head as an op of one part.
  const LinearOp& head() const { return head_; }

  ModelConfig config;
  std::vector<CpuLayer> layers;
  std::vector<float> final_norm;
  // Grows as sequences do, which is why it is mutable: an op reserves positions before it starts its tickets.
  mutable RopeTable rope;

  const PackedMatrix& embedding() const { return embedding_; }

 private:
  PackedMatrix embedding_;
  LinearOp head_;  // without a matrix of its own when tied
  uint64_t bytes_ = 0;
};

// The projections of a group, in the order of their tiles.
std::vector<LinearPart> linear_parts(const ModelConfig& config, LinearGroup group);
inline constexpr std::array<LinearGroup, 4> kLinearGroups = {LinearGroup::kQkv, LinearGroup::kO, LinearGroup::kGateUp,
                                                             LinearGroup::kDown};

}  // namespace polygraft
