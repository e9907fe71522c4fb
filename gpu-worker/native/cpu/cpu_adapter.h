// An adapter packed for the CPU's kernels, in the precision of its source: A as [rank/16][k][16], B as [n/16][rank][16].
#pragma once

#include <vector>

#include "cpu/aligned_buffer.h"
#include "cpu/kernels/kernels.h"
#include "model/backend.h"

namespace polygraft {

struct CpuAdapterModule {
  uint32_t rank = 0;  // 0: not adapted
  float scaling = 0;
  AdapterType type = AdapterType::kF32;
  const std::byte *a = nullptr, *b = nullptr;
  size_t a_tile_bytes = 0;  // from one tile of sixteen rank rows to the next
};

class CpuAdapter : public DeviceAdapter {
 public:
  // Runs on the caller's thread alone, for a step may be using the pool.
  CpuAdapter(const ModelConfig& config, const AdapterWeights& weights);
  uint64_t bytes() const override { return memory_.bytes(); }
  const CpuAdapterModule& module(uint32_t layer, Projection projection) const {
    return modules_[layer * 7 + static_cast<size_t>(projection)];
  }

 private:
  AlignedBuffer memory_;
  std::vector<CpuAdapterModule> modules_;
};

// What CpuAdapter::bytes() will be.
uint64_t packed_adapter_bytes(const ModelConfig& config, const AdapterWeights& weights);

}  // namespace polygraft
