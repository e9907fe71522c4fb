// The fused quantized-LoRA linear: base product, bias, the expand half of each row's adapter, epilogue.
#pragma once

#include "cpu/kernels/adapter.h"
#include "cpu/kernels/dot_f32.h"
#include "cpu/kernels/dot_int8.h"
#include "cpu/kernels/exp.h"

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

void project(const LinearTile& args, const TileOperand& operand, float* out) {
  base_product(args, operand, out);
  if (operand.bias) {
    const f32x16 bias = load(operand.bias + args.part_tile * kLanes);
    for (uint32_t m = 0; m < args.rows; ++m) store(out + m * kLanes, add(load(out + m * kLanes), bias));
  }
  expand(args, operand, out);
}

void linear_tile(const LinearTile& args) {
  alignas(64) float result[kMaxTileRows * kLanes];
  const int operands = args.epilogue == TileEpilogue::kSwiGlu ? 2 : 1;
  for (int i = 0; i < operands; ++i) fetch_adapters(args, args.operands[i]);
  project(args, args.operands[0], result);
  float* y = args.y + args.first_row * args.y_stride;
  if (args.epilogue == TileEpilogue::kSwiGlu) {
    alignas(64) float up[kMaxTileRows * kLanes];
    project(args, args.operands[1], up);
    for (uint32_t m = 0; m < args.rows; ++m)
      store(y + m * args.y_stride, mul(silu(load(result + m * kLanes)), load(up + m * kLanes)), args.columns);
    return;
  }
  const bool accumulate = args.epilogue == TileEpilogue::kAdd;
  for (uint32_t m = 0; m < args.rows; ++m, y += args.y_stride) {
    f32x16 v = load(result + m * kLanes);
    if (accumulate) v = add(load(y, args.columns), v);
    store(y, v, args.columns);
  }
}

}  // namespace
}  // namespace polygraft::PG_ISA
