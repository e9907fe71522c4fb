// Weights in their canonical form: row-major, as on disk, before a backend packs them for its kernels.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"

namespace polygraft {

enum class Scheme : uint8_t { kW4, kNf4, kW8, kF32 };

// A weight matrix W[n][k] of a linear layer, y = x W^T.
//   kW4   w = s*q + m;       codes: n rows of ceil(k/2) bytes, even k in the low nibble
//   kNf4  w = s*table[q];    codes as kW4; m unused
//   kW8   w = s*q;           codes: n rows of k int8
//   kF32  w = values
// Groups run along k; the last one of a row may be short. s and m are fp16 bit patterns, [n][groups()]. Columns are in the
// order of the inputs, or, where groups are not neighbours there, in one in which they are: column c then multiplies input
// order[c].
struct WeightMatrix {
  Scheme scheme = Scheme::kF32;
  uint32_t n = 0;
  uint32_t k = 0;
  uint32_t group = 0;
  std::vector<uint8_t> codes;
  std::vector<uint16_t> scales;
  std::vector<uint16_t> minimums;
  std::vector<float> values;
  std::vector<uint32_t> order;  // [k], a permutation; empty: none

  uint32_t input_of(uint32_t column) const { return order.empty() ? column : order[column]; }
  uint32_t groups() const { return group == 0 ? 0 : (k + group - 1) / group; }
};

// The NF4 code table of QLoRA (Dettmers et al. 2023, appendix E), ascending, table[7] = 0.
extern const float kNf4Table[16];

// The weight at (row, column) as the kernels must see it. For tests and oracles: slow.
float dequantize(const WeightMatrix& w, uint32_t row, uint32_t column);

struct LayerWeights {
  std::vector<float> attention_norm;  // [hidden]
  std::vector<float> mlp_norm;        // [hidden]
  std::vector<float> q_norm, k_norm;  // [head_dim], Qwen3 only
  WeightMatrix projections[7];        // by Projection
  std::vector<float> biases[7];       // [n] or empty
};

struct ModelWeights {
  WeightMatrix embedding;  // [vocab][hidden]
  WeightMatrix head;       // [vocab][hidden]; n = 0 when tied: the embedding serves as head
  std::vector<float> final_norm;
  std::vector<LayerWeights> layers;
};

// One adapter module: y += scaling * B (A x), A[rank][k], B[n][rank], row-major, in the source's precision.
enum class AdapterType : uint8_t { kF32, kF16, kBf16 };
struct AdapterModule {
  uint32_t rank = 0;  // 0: this projection is not adapted
  float scaling = 0;  // alpha / rank, or alpha / sqrt(rank) with use_rslora
  AdapterType type = AdapterType::kF32;
  std::vector<uint8_t> a, b;
};

struct AdapterWeights {
  std::string base_model;
  uint32_t max_rank = 0;
  std::vector<AdapterModule> modules;  // [layer * 7 + projection]
};

}  // namespace polygraft
