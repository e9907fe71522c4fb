// How the two matrices of an adapter module are laid out (see cpu_adapter.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/kernels/kernels.h"
#include "model/weights.h"

namespace polygraft {

AdapterForm adapter_form(AdapterType type, bool int8);

// One packed matrix: tiles, then the scales of all tiles if it has any.
struct AdapterMatrix {
  size_t tiles, tile_bytes, tile_scales;
  size_t scales_at() const { return tiles * tile_bytes; }
  // In whole cache lines.
  size_t bytes() const { return (scales_at() + tiles * tile_scales * sizeof(float) + 63) / 64 * 64; }
};
AdapterMatrix a_matrix(AdapterForm form, uint32_t rank, uint32_t k);
AdapterMatrix b_matrix(AdapterForm form, uint32_t rank, uint32_t n);

// Fill the zeroed bytes of a matrix from A [rank][k], or B [n][rank], row-major as `type`.
void pack_a(AdapterForm form, AdapterType type, const uint8_t* source, uint32_t rank, uint32_t k, uint8_t* out);
void pack_b(AdapterForm form, AdapterType type, const uint8_t* source, uint32_t rank, uint32_t n, uint8_t* out);

}  // namespace polygraft
