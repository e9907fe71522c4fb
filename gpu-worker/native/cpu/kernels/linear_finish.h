// What a linear does with its base product: bias, the expand half of each row's adapter, epilogue.
#pragma once

#include "cpu/kernels/adapter.h"
#include "cpu/kernels/exp.h"

namespace polygraft::PG_ISA {
namespace {

template <class Product>
PG_INLINE void project(const LinearTile& args, const Product& product, const TileOperand& operand, float* out) {
  product(args, operand, out);
  if (operand.bias) {
    const f32x16 bias = load(operand.bias + args.part_tile * kLanes);
    for (uint32_t m = 0; m < args.rows; ++m) store(out + m * kLanes, add(load(out + m * kLanes), bias));
  }
  expand(args, operand, out);
}

// `product(args, operand, out)` leaves W x of one tile in out[rows][16], which has room for kMaxTileRows rows.
template <class Product>
PG_INLINE void finish_linear(const LinearTile& args, const Product& product) {
  alignas(64) float result[kMaxTileRows * kLanes];
  const int operands = args.epilogue == TileEpilogue::kSwiGlu ? 2 : 1;
  for (int i = 0; i < operands; ++i) fetch_adapters(args, args.operands[i]);
  project(args, product, args.operands[0], result);
  float* y = args.y + args.first_row * args.y_stride;
  if (args.epilogue == TileEpilogue::kSwiGlu) {
    alignas(64) float up[kMaxTileRows * kLanes];
    project(args, product, args.operands[1], up);
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
