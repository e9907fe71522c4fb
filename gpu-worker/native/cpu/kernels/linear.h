// The fused quantized-LoRA linear.
#pragma once

#include "cpu/kernels/dot_f32.h"
#include "cpu/kernels/dot_int8.h"
#include "cpu/kernels/linear_finish.h"

namespace polygraft::PG_ISA {
namespace {

// out[rows][16] = W x for one tile.
void base_product(const LinearTile& args, const TileOperand& operand, float* out) {
  const TileMatrix& w = *operand.matrix;
  const uint32_t tile = operand.tile;
  if (operand.quantized) {
    const QuantizedRows& x = *operand.quantized;
    switch (w.scheme) {
      case Scheme::kW4: return dot_int8_groups<AffineGroups>(w, tile, x, args.first_row, args.rows, out);
      case Scheme::kNf4: return dot_int8_groups<TableGroups>(w, tile, x, args.first_row, args.rows, out);
      case Scheme::kW8: return dot_int8_groups<SymmetricGroups>(w, tile, x, args.first_row, args.rows, out);
      case Scheme::kF32: break;
    }
  }
  const float* x = operand.x + static_cast<size_t>(args.first_row) * w.k;
  switch (w.scheme) {
    case Scheme::kW4: return dot_f32_tile(AffineSource(w, tile), w.k, x, w.k, args.rows, out, kLanes);
    case Scheme::kNf4: return dot_f32_tile(TableSource(w, tile), w.k, x, w.k, args.rows, out, kLanes);
    case Scheme::kW8: return dot_f32_tile(ByteSource(w, tile), w.k, x, w.k, args.rows, out, kLanes);
    case Scheme::kF32:
      return dot_f32_tile(FloatSource{w.values + tile * w.value_stride}, w.k, x, w.k, args.rows, out, kLanes);
  }
}

void linear_tile(const LinearTile& args) { finish_linear(args, base_product); }

}  // namespace
}  // namespace polygraft::PG_ISA
