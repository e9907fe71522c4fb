// An adapter packed for the CPU's kernels, its matrices in tiles of sixteen rank rows (A) or outputs (B):
//
//   in the precision of its source   A [rank/16][k][16], B [n/16][rank][16]
//   in int8                          A codes [rank/16][k/32][8][64 B], byte = rank row x 4 k; scales [rank/16][k/128][16]
//                                    B codes [n/16][rank/2][16][2], scales [n/16]
//
// Ranks and outputs are padded to 16, k to 32 and the ranks of B in int8 to 2, with zeros. The matrices A of projections
// that share an input follow each other, for they are read one after the other; then come their B.
#pragma once

#include <vector>

#include "cpu/aligned_buffer.h"
#include "cpu/kernels/kernels.h"
#include "model/backend.h"

namespace polygraft {

struct CpuAdapterModule {
  uint32_t rank = 0;  // 0: not adapted
  float scaling = 0;
  AdapterForm form = AdapterForm::kF32;
  const uint8_t *a = nullptr, *b = nullptr;
  size_t a_tile_bytes = 0;    // from one tile to the next
  uint32_t b_tile_bytes = 0;
  const float *a_scales = nullptr, *b_scales = nullptr;  // of int8
  size_t a_tile_scales = 0;                              // of a tile of A
};

class CpuAdapter : public DeviceAdapter {
 public:
  // `int8`: whether to hold it so. Runs on the caller's thread alone, for a step may be using the pool.
  CpuAdapter(const ModelConfig& config, const AdapterWeights& weights, bool int8);
  uint64_t bytes() const override { return memory_.bytes(); }
  const CpuAdapterModule& module(uint32_t layer, Projection projection) const {
    return modules_[layer * 7 + static_cast<size_t>(projection)];
  }

 private:
  AlignedBuffer memory_;
  std::vector<CpuAdapterModule> modules_;
};

// What CpuAdapter::bytes() will be.
uint64_t packed_adapter_bytes(const ModelConfig& config, const AdapterWeights& weights, bool int8);

}  // namespace polygraft
