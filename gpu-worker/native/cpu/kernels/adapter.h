// Both halves of an adapter: v = A x, and y += scaling * B v.
#pragma once

#include "cpu/kernels/adapter_int8.h"
#include "cpu/kernels/dot_f32.h"

namespace polygraft::PG_ISA {
namespace {

struct HalfBits {
  uint16_t value;
};
struct BfloatBits {
  uint16_t value;
};
PG_INLINE f32x16 load_b(const float* p) { return load(p); }
PG_INLINE f32x16 load_b(const HalfBits* p) { return load_f16(&p->value); }
PG_INLINE f32x16 load_b(const BfloatBits* p) { return load_bf16(&p->value); }

// out[m] += scaling * Σ_r v[m][r] B[r], for kRows rows at once. A row of v is rank floats, over the ends of its tiles.
template <int kRows, class Element>
PG_INLINE void expand_rows(const ExpandSpan& span, uint32_t tile, const RankTile* first, float* out) {
  const auto* b = reinterpret_cast<const Element*>(span.b + static_cast<size_t>(tile) * span.tile_bytes);
  const float* v = first->values;
  const size_t v_stride = static_cast<size_t>(span.v_stride) * kLanes;
  f32x16 t[kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) t[m] = zero();
  for (uint32_t r = 0; r < span.rank; ++r) {
    const f32x16 column = load_b(b + r * kLanes);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) t[m] = fma(set1(v[m * v_stride + r]), column, t[m]);
  }
  for (int m = 0; m < kRows; ++m) store(out + m * kLanes, fma(set1(span.scaling), t[m], load(out + m * kLanes)));
}
template <int kRows, class Element>
PG_INLINE void expand_rows_as(const ExpandSpan& span, uint32_t tile, const RankTile* v, float* out) {
  if constexpr (__is_same(Element, int8_t))
    expand_rows_int8<kRows>(span, tile, v, out);
  else
    expand_rows<kRows, Element>(span, tile, v, out);
}

template <class Element>
PG_INLINE void expand_span_as(const ExpandSpan& span, uint32_t tile, uint32_t first, uint32_t last, float* out) {
  const RankTile* v = span.v + static_cast<size_t>(first - span.first_row) * span.v_stride;
  uint32_t m = first;
  const auto pass = [&]<int kRows>(Count<kRows>) __attribute__((always_inline)) {
    for (; m + kRows <= last; m += kRows, v += kRows * span.v_stride, out += kRows * kLanes)
      expand_rows_as<kRows, Element>(span, tile, v, out);
  };
  if (last - first > 1) {  // not one stream that decodes
    pass(Count<kFloatRows>{});
    if constexpr (kFloatRows > 4) pass(Count<4>{});
    if constexpr (kFloatRows > 2) pass(Count<2>{});
  }
  pass(Count<1>{});
}

// Rows first..last-1, whose results begin at `out`.
PG_INLINE void expand_span(const ExpandSpan& span, uint32_t tile, uint32_t first, uint32_t last, float* out) {
  switch (span.form) {
    case AdapterForm::kF32: return expand_span_as<float>(span, tile, first, last, out);
    case AdapterForm::kF16: return expand_span_as<HalfBits>(span, tile, first, last, out);
    case AdapterForm::kBf16: return expand_span_as<BfloatBits>(span, tile, first, last, out);
    case AdapterForm::kInt8: return expand_span_as<int8_t>(span, tile, first, last, out);
  }
}

// Calls use(span, first, last) for the spans that have rows first..last-1 of the ticket.
template <class Use>
PG_INLINE void for_each_span(const LinearTile& args, const TileOperand& operand, const Use& use) {
  const uint32_t end = args.first_row + args.rows;
  for (uint32_t i = 0; i < operand.span_count; ++i) {
    const ExpandSpan& span = operand.spans[i];
    if (span.first_row >= end) break;
    const uint32_t first = span.first_row > args.first_row ? span.first_row : args.first_row;
    const uint32_t last = span.first_row + span.count < end ? span.first_row + span.count : end;
    if (first < last) use(span, first, last);
  }
}

// Asks for what expand() will read: it lies elsewhere for each adapter, and comes from memory in a decode step. Only into
// the second cache, for the first takes no more misses at once than the base product needs.
void fetch_adapters(const LinearTile& args, const TileOperand& operand) {
  for_each_span(args, operand, [&](const ExpandSpan& span, uint32_t, uint32_t) {
    const uint8_t* b = span.b + static_cast<size_t>(args.part_tile) * span.tile_bytes;
    for (uint32_t at = 0; at < span.tile_bytes; at += 64) __builtin_prefetch(b + at, 0, 2);
    if (span.form == AdapterForm::kInt8) __builtin_prefetch(span.scales + args.part_tile, 0, 2);
  });
}

// Adds the adapters of the ticket's rows.
void expand(const LinearTile& args, const TileOperand& operand, float* out) {
  for_each_span(args, operand, [&](const ExpandSpan& span, uint32_t first, uint32_t last) {
    expand_span(span, args.part_tile, first, last, out + (first - args.first_row) * kLanes);
  });
}

void shrink_tile(const ShrinkTile& args) {
  const uint32_t k = args.k;
  const float* x = args.x + static_cast<size_t>(args.first_row) * k;
  float* v = args.v->values;
  const size_t v_stride = static_cast<size_t>(args.v_stride) * kLanes;
  const auto* halves = reinterpret_cast<const uint16_t*>(args.a);
  switch (args.form) {
    case AdapterForm::kF32:
      return dot_f32_tile(FloatSource{reinterpret_cast<const float*>(args.a)}, k, x, k, args.rows, v, v_stride);
    case AdapterForm::kF16: return dot_f32_tile(HalfSource{halves}, k, x, k, args.rows, v, v_stride);
    case AdapterForm::kBf16: return dot_f32_tile(BfloatSource{halves}, k, x, k, args.rows, v, v_stride);
    case AdapterForm::kInt8:
      if (args.quantized) return shrink_int8(args, *args.quantized);
      dot_f32_tile(AdapterByteSource{args.a, args.scales}, k, x, k, args.rows, v, v_stride);
      for (uint32_t m = 0; m < args.rows; ++m) {
        RankTile& tile = args.v[static_cast<size_t>(m) * args.v_stride];
        encode_ranks(load(tile.values), tile);
      }
  }
}

}  // namespace
}  // namespace polygraft::PG_ISA
