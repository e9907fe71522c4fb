// Keys and values: [layer][block][kv head]{K [head_dim][64], V [64][head_dim rounded up to 16]}. Keys are transposed so
// that lanes hold tokens while scores add up over head_dim; values lie so that lanes hold head_dim.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/aligned_buffer.h"
#include "cpu/kernels/kernels.h"
#include "model/backend.h"

namespace polygraft {

struct KvLayout {
  KvLayout(const ModelConfig& config, bool f32)
      : layers(config.layers),
        element_bytes(f32 ? 4 : 2),
        value_stride((config.head_dim + kLanes - 1) / kLanes * kLanes),
        value_offset(static_cast<size_t>(config.head_dim) * kKvBlockTokens),
        head_stride(value_offset + static_cast<size_t>(value_stride) * kKvBlockTokens),
        block_stride(head_stride * config.kv_heads) {}

  uint32_t layers;
  uint32_t element_bytes;
  uint32_t value_stride;                            // elements, as those below
  size_t value_offset, head_stride, block_stride;   // from K to V, head to head, block to block
  size_t block_bytes() const { return block_stride * element_bytes; }  // of one layer
};

class CpuKvPool : public KvPool {
 public:
  CpuKvPool(const ModelConfig& config, bool f32, uint32_t blocks)
      : layout(config, f32), blocks_(blocks), memory_(layout.block_bytes() * layout.layers * blocks) {}
  uint32_t blocks() const override { return blocks_; }

  std::byte* layer(uint32_t layer) const {
    return memory_.as<std::byte>() + layout.block_bytes() * blocks_ * layer;
  }
  void copy(uint32_t from, uint32_t to) {
    for (uint32_t l = 0; l < layout.layers; ++l)
      std::memcpy(layer(l) + layout.block_bytes() * to, layer(l) + layout.block_bytes() * from, layout.block_bytes());
  }

  const KvLayout layout;

 private:
  uint32_t blocks_;
  AlignedBuffer memory_;
};

}  // namespace polygraft
