// The fused quantized-LoRA linear: base product, bias, the expand half of each row's adapter, epilogue.
#pragma once

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

PG_INLINE f32x16 load_b(const float* p) { return load(p); }
struct HalfBits {
  uint16_t value;
};
struct BfloatBits {
  uint16_t value;
};
PG_INLINE f32x16 load_b(const HalfBits* p) { return load_f16(&p->value); }
PG_INLINE f32x16 load_b(const BfloatBits* p) { return load_bf16(&p->value); }

// out[m] += scaling * Σ_r v[m][r] B[r], for kRows rows at once.
template <int kRows, class Element>
PG_INLINE void expand_rows(const Element* b, uint32_t rank, float scaling, const float* v, size_t v_stride, float* out) {
  f32x16 t[kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) t[m] = zero();
  for (uint32_t r = 0; r < rank; ++r) {
    const f32x16 column = load_b(b + r * kLanes);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) t[m] = fma(set1(v[m * v_stride + r]), column, t[m]);
  }
  for (int m = 0; m < kRows; ++m) store(out + m * kLanes, fma(set1(scaling), t[m], load(out + m * kLanes)));
}

template <class Element>
void expand_span(const ExpandSpan& span, uint32_t part_tile, uint32_t first, uint32_t last, float* out) {
  const Element* b = static_cast<const Element*>(span.b) + static_cast<size_t>(part_tile) * span.rank * kLanes;
  const float* v = span.v + static_cast<size_t>(first - span.first_row) * span.v_stride;
  uint32_t m = first;
  const auto pass = [&]<int kRows>(Count<kRows>) {
    for (; m + kRows <= last; m += kRows, v += kRows * span.v_stride, out += kRows * kLanes)
      expand_rows<kRows>(b, span.rank, span.scaling, v, span.v_stride, out);
  };
  pass(Count<kFloatRows>{});
  if constexpr (kFloatRows > 4) pass(Count<4>{});
  if constexpr (kFloatRows > 2) pass(Count<2>{});
  pass(Count<1>{});
}

// Adds the adapters of the ticket's rows.
void expand(const LinearTile& args, const TileOperand& operand, float* out) {
  const uint32_t end = args.first_row + args.rows;
  for (uint32_t i = 0; i < operand.span_count; ++i) {
    const ExpandSpan& span = operand.spans[i];
    if (span.first_row >= end) break;
    const uint32_t first = span.first_row > args.first_row ? span.first_row : args.first_row;
    const uint32_t last = span.first_row + span.count < end ? span.first_row + span.count : end;
    if (first >= last) continue;
    float* rows = out + (first - args.first_row) * kLanes;
    switch (span.type) {
      case AdapterType::kF32: expand_span<float>(span, args.part_tile, first, last, rows); break;
      case AdapterType::kF16: expand_span<HalfBits>(span, args.part_tile, first, last, rows); break;
      case AdapterType::kBf16: expand_span<BfloatBits>(span, args.part_tile, first, last, rows); break;
    }
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

void shrink_tile(const ShrinkTile& args) {
  const auto* halves = static_cast<const uint16_t*>(args.a);
  switch (args.type) {
    case AdapterType::kF32:
      return dot_f32_tile(FloatSource{static_cast<const float*>(args.a)}, args.k, args.x, args.x_stride, args.rows,
                          args.v, args.v_stride);
    case AdapterType::kF16:
      return dot_f32_tile(HalfSource{halves}, args.k, args.x, args.x_stride, args.rows, args.v, args.v_stride);
    case AdapterType::kBf16:
      return dot_f32_tile(BfloatSource{halves}, args.k, args.x, args.x_stride, args.rows, args.v, args.v_stride);
  }
}

}  // namespace
}  // namespace polygraft::PG_ISA
