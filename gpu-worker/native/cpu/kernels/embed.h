// One row of a packed matrix, dequantized: the embedding is packed like any other matrix, so that it can be the head.
#pragma once

#include "cpu/kernels/dot_int8.h"

namespace polygraft::PG_ISA {
namespace {

PG_INLINE float half_at(const uint16_t* p) {
  // Through the vector layer, which knows the fastest way.
  alignas(64) uint16_t halves[16] = {*p};
  alignas(64) float floats[16];
  store(floats, load_f16(halves));
  return floats[0];
}

void embed_row(const TileMatrix& w, uint32_t row, float* y) {
  const uint32_t tile = row / kLanes, lane = row % kLanes;
  if (w.scheme == Scheme::kF32) {
    const float* p = w.values + tile * w.value_stride + lane;
    for (uint32_t k = 0; k < w.k; ++k) y[k] = p[static_cast<size_t>(k) * kLanes];
    return;
  }
  const uint8_t* codes = w.codes + tile * w.code_stride + lane * 4;
  const uint16_t* scales = w.scales + tile * w.scale_stride + lane;
  for (uint32_t g = 0; g < w.groups; ++g) {
    const float scale = half_at(scales + g * (w.scheme == Scheme::kW4 ? 32 : 16));
    const float minimum = w.scheme == Scheme::kW4 ? half_at(scales + g * 32 + 16) : 0.0f;
    for (uint32_t k = g * w.group; k < w.k && k < (g + 1) * w.group; ++k) {
      if (w.scheme == Scheme::kW8) {
        y[k] = scale * static_cast<float>(static_cast<int8_t>(codes[static_cast<size_t>(k / 4) * 64 + k % 4]));
        continue;
      }
      const uint32_t in_block = k % kBlockK;
      const uint8_t byte = codes[static_cast<size_t>(k / kBlockK) * kSlabBytes + in_block % 32 / 4 * 64 + k % 4];
      const int code = in_block < 32 ? byte & 15 : byte >> 4;
      y[k] = w.scheme == Scheme::kW4 ? __builtin_fmaf(scale, static_cast<float>(code), minimum)
                                     : scale * kNf4Table[code];
    }
  }
}

}  // namespace
}  // namespace polygraft::PG_ISA
