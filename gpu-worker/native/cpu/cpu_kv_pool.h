// Keys and values: [layer][block][kv head]{K [head_dim][64], V [64][head_dim rounded up to 16]}. Keys are transposed so
// that lanes hold tokens while scores add up over head_dim; values lie so that lanes hold head_dim. As int8, four
// elements of a key and two tokens' values are neighbours, for integer dots take so many at once: {K [64 / 16 tokens]
// [head_dim rounded up to 32, / 4][16 tokens][4], V [64 / 2 tokens][head_dim rounded up to 16][2], scales of K [64] f32,
// scales of V [64] f32}.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/aligned_buffer.h"
#include "cpu/kernels/kernels.h"
#include "model/backend.h"

namespace polygraft {

struct KvLayout {
  KvLayout(const ModelConfig& config, KvType type)
      : layers(config.layers),
        element_bytes(type == KvType::kF32 ? 4 : type == KvType::kF16 ? 2 : 1),
        value_stride(round_up(config.head_dim, kLanes)),
        value_offset(size_t{type == KvType::kInt8 ? round_up(config.head_dim, 32) : config.head_dim} * kKvBlockTokens),
        scale_offset(value_offset + size_t{value_stride} * kKvBlockTokens),
        head_stride(scale_offset + (type == KvType::kInt8 ? 2 * sizeof(float) * kKvBlockTokens : 0)),
        block_stride(head_stride * config.kv_heads) {}

  uint32_t layers;
  uint32_t element_bytes;
  uint32_t value_stride;                            // elements, as those below
  size_t value_offset, scale_offset;                // from K to V, and to the scales
  size_t head_stride, block_stride;                 // from head to head, and block to block
  size_t block_bytes() const { return block_stride * element_bytes; }  // of one layer

 private:
  static uint32_t round_up(uint32_t n, uint32_t to) { return (n + to - 1) / to * to; }
};

class CpuKvPool : public KvPool {
 public:
  CpuKvPool(const ModelConfig& config, KvType type, uint32_t blocks)
      : layout(config, type), blocks_(blocks), memory_(layout.block_bytes() * layout.layers * blocks) {}
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
