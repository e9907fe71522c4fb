// Sixteen columns of a quantized matrix times int8 rows: exact integer sums in a group, one fma order over groups.
#pragma once

#include "cpu/simd/simd.h"

namespace polygraft::PG_ISA {
namespace {

inline constexpr size_t kSlabBytes = 512;  // 32 k of W8, or 64 k of W4

// NF4's table as int8. round(127 t), exact in float.
struct Nf4Bytes {
  alignas(16) int8_t value[16];
};
PG_INLINE Nf4Bytes nf4_bytes() {
  Nf4Bytes table;
  for (int i = 0; i < 16; ++i) {
    const float scaled = 127.0f * kNf4Table[i];
    table.value[i] = static_cast<int8_t>(scaled < 0 ? scaled - 0.5f : scaled + 0.5f);
  }
  return table;
}

// One scheme's way from integer sums to floats.
struct AffineGroups {  // W4
  template <bool kHigh>
  using Codes = NibbleCodes<kHigh>;
  static constexpr bool kNibbles = true;
  static constexpr size_t kScaleStep = 32;
  struct Scales {
    f32x16 scale, minimum;
  };
  static PG_INLINE Scales load_scales(const uint16_t* p) { return {load_f16(p), load_f16(p + 16)}; }
  static PG_INLINE f32x16 apply(Scales w, f32x16 total, f32x16 d, float sum, f32x16 y) {
    y = fma(total, mul(w.scale, d), y);
    return fma(set1(sum), mul(w.minimum, d), y);
  }
};
struct TableGroups {  // NF4
  template <bool kHigh>
  using Codes = TableCodes<kHigh>;
  static constexpr bool kNibbles = true;
  static constexpr size_t kScaleStep = 16;
  struct Scales {
    f32x16 scale;
  };
  static PG_INLINE Scales load_scales(const uint16_t* p) { return {div(load_f16(p), set1(127.0f))}; }
  static PG_INLINE f32x16 apply(Scales w, f32x16 total, f32x16 d, float, f32x16 y) {
    return fma(total, mul(w.scale, d), y);
  }
};
struct SymmetricGroups {  // W8
  template <bool>
  using Codes = ByteCodes;
  static constexpr bool kNibbles = false;
  static constexpr size_t kScaleStep = 16;
  using Scales = TableGroups::Scales;
  static PG_INLINE Scales load_scales(const uint16_t* p) { return {load_f16(p)}; }
  static PG_INLINE f32x16 apply(Scales w, f32x16 total, f32x16 d, float, f32x16 y) {
    return fma(total, mul(w.scale, d), y);
  }
};

// kRows rows from `row` of a tile, groups of 32 * kSlabs.
template <class Groups, int kRows, uint32_t kSlabs>
PG_INLINE void dot_int8(const TileMatrix& w, uint32_t tile, const int8_t* table, const QuantizedRows& x, uint32_t row,
                        f32x16 (&y)[kRows]) {
  using Low = typename Groups::template Codes<false>;
  using High = typename Groups::template Codes<true>;
  const uint8_t* codes = w.codes + tile * w.code_stride;
  const uint16_t* scales = w.scales + tile * w.scale_stride;
  const int8_t* xq = x.codes + static_cast<size_t>(row) * x.stride;
  const float* xd = x.scales + static_cast<size_t>(row) * x.groups;
  const float* xs = x.sums + static_cast<size_t>(row) * x.groups;
  const uint32_t slabs = 2 * w.blocks;
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) y[m] = zero();
  for (uint32_t g = 0; g < w.groups; ++g) {
    i32x16 total[kRows];
#pragma GCC unroll 16
    for (int m = 0; m < kRows; ++m) total[m] = zero_i32();
    const uint32_t first = g * kSlabs;
    const uint32_t last = first + kSlabs < slabs ? first + kSlabs : slabs;
    if constexpr (!Groups::kNibbles) {
      for (uint32_t s = first; s < last; ++s)
        dot_slab<kRows>(ByteCodes{}, codes + s * kSlabBytes, table, xq + s * 32, x.stride, total);
    } else if constexpr (kSlabs == 1) {
      if (g % 2 == 0)
        dot_slab<kRows>(Low{}, codes + g / 2 * kSlabBytes, table, xq + g * 32, x.stride, total);
      else
        dot_slab<kRows>(High{}, codes + g / 2 * kSlabBytes, table, xq + g * 32, x.stride, total);
    } else {
      for (uint32_t s = first; s < last; s += 2) {
        dot_slab<kRows>(Low{}, codes + s / 2 * kSlabBytes, table, xq + s * 32, x.stride, total);
        dot_slab<kRows>(High{}, codes + s / 2 * kSlabBytes, table, xq + s * 32 + 32, x.stride, total);
      }
    }
    const auto ws = Groups::load_scales(scales + g * Groups::kScaleStep);
#pragma GCC unroll 16
    for (int m = 0; m < kRows; ++m) {
      const float sum = xs[static_cast<size_t>(m) * x.groups + g];
      const f32x16 d = set1(xd[static_cast<size_t>(m) * x.groups + g]);
      y[m] = Groups::apply(ws, to_f32(finish_dot(Low{}, total[m], sum)), d, sum, y[m]);
    }
  }
}

template <class Groups, int kRows, uint32_t kSlabs>
void dot_int8_rows(const TileMatrix& w, uint32_t tile, const int8_t* table, const QuantizedRows& x, uint32_t row,
                   float* out) {
  f32x16 y[kRows];
  dot_int8<Groups, kRows, kSlabs>(w, tile, table, x, row, y);
  for (int m = 0; m < kRows; ++m) store(out + m * kLanes, y[m]);
}

// `rows` rows from `first_row`: full register tiles first, then halves.
template <class Groups, uint32_t kSlabs>
void dot_int8_tile(const TileMatrix& w, uint32_t tile, const QuantizedRows& x, uint32_t first_row, uint32_t rows,
                   float* out) {
  const Nf4Bytes table = nf4_bytes();
  uint32_t m = 0;
  for (; m + kTileRows <= rows; m += kTileRows)
    dot_int8_rows<Groups, kTileRows, kSlabs>(w, tile, table.value, x, first_row + m, out + m * kLanes);
  if constexpr (kTileRows > 4)
    for (; m + 4 <= rows; m += 4)
      dot_int8_rows<Groups, 4, kSlabs>(w, tile, table.value, x, first_row + m, out + m * kLanes);
  if constexpr (kTileRows > 2)
    for (; m + 2 <= rows; m += 2)
      dot_int8_rows<Groups, 2, kSlabs>(w, tile, table.value, x, first_row + m, out + m * kLanes);
  for (; m < rows; ++m)
    dot_int8_rows<Groups, 1, kSlabs>(w, tile, table.value, x, first_row + m, out + m * kLanes);
}

template <class Groups>
void dot_int8_groups(const TileMatrix& w, uint32_t tile, const QuantizedRows& x, uint32_t first_row, uint32_t rows,
                     float* out) {
  switch (w.group) {
    case 32: return dot_int8_tile<Groups, 1>(w, tile, x, first_row, rows, out);
    case 64: return dot_int8_tile<Groups, 2>(w, tile, x, first_row, rows, out);
    default: return dot_int8_tile<Groups, 4>(w, tile, x, first_row, rows, out);
  }
}

}  // namespace
}  // namespace polygraft::PG_ISA
