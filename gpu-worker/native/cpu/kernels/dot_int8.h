// Sixteen columns of a quantized matrix times int8 rows: exact integer sums in a group, one fma order over groups.
#pragma once

#include "cpu/simd/simd.h"

namespace polygraft::PG_ISA {
namespace {

inline constexpr size_t kSlabBytes = 512;  // 32 k of W8, or 64 k of W4

// Bytes ahead that codes are asked for, over a tile's end into the next. A decode step reads all weights from memory, and
// the CPU's own prefetcher begins anew at each page and each stream.
inline constexpr size_t kCodesAhead = 2048;

PG_INLINE void prefetch_slab(const uint8_t* codes) {
#pragma GCC unroll 8
  for (size_t at = 0; at < kSlabBytes; at += 64) __builtin_prefetch(codes + kCodesAhead + at, 0, 3);
}

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
  static PG_INLINE f32x16 apply(Scales w, f32x16 total, f32x16 d, f32x16 scaled_sum, f32x16 y) {
    y = fma(total, mul(w.scale, d), y);
    return fma(w.minimum, scaled_sum, y);
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
  static PG_INLINE f32x16 apply(Scales w, f32x16 total, f32x16 d, f32x16, f32x16 y) {
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
  static PG_INLINE f32x16 apply(Scales w, f32x16 total, f32x16 d, f32x16, f32x16 y) {
    return fma(total, mul(w.scale, d), y);
  }
};

template <int kRows>
PG_INLINE void set_zero(i32x16 (&total)[kRows]) {
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) total[m] = zero_i32();
}

// kRows rows from `row` of a tile, groups of 32 * kSlabs. `kFetch`: asks for the codes to come; the first pass over a tile
// does, later ones would only spend the load ports that they need.
template <class Groups, int kRows, uint32_t kSlabs, bool kFetch>
PG_INLINE void dot_int8(const TileMatrix& w, uint32_t tile, const int8_t* table, const QuantizedRows& x, uint32_t row,
                        f32x16 (&y)[kRows]) {
  using Low = typename Groups::template Codes<false>;
  using High = typename Groups::template Codes<true>;
  const uint8_t* codes = w.codes + tile * w.code_stride;
  const uint16_t* scales = w.scales + tile * w.scale_stride;
  const int8_t* xq = x.codes + static_cast<size_t>(row) * x.stride;
  const float* xd = x.scales + static_cast<size_t>(row) * x.groups;
  const float* xs = x.sums + static_cast<size_t>(row) * x.groups;
  const float* xds = x.scaled_sums + static_cast<size_t>(row) * x.groups;
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) y[m] = zero();
  const auto finish_group = [&](uint32_t g, const i32x16(&total)[kRows]) __attribute__((always_inline)) {
    if constexpr (kFetch) __builtin_prefetch(scales + g * Groups::kScaleStep + w.scale_stride, 0, 3);
    const auto ws = Groups::load_scales(scales + g * Groups::kScaleStep);
#pragma GCC unroll 16
    for (int m = 0; m < kRows; ++m) {
      const size_t at = static_cast<size_t>(m) * x.groups + g;
      const f32x16 sum = to_f32(finish_dot(Low{}, total[m], xs[at]));
      y[m] = Groups::apply(ws, sum, set1(xd[at]), set1(xds[at]), y[m]);
    }
  };
  for (uint32_t g = 0; g < w.groups;) {
    i32x16 total[kRows];
    set_zero(total);
    if constexpr (Groups::kNibbles && kSlabs == 1) {
      // A byte holds a code of this group and one of the next; their number is even, for k is padded to 64.
      if constexpr (kFetch) prefetch_slab(codes);
      if constexpr (kRows <= 2) {  // both groups at once: one sum of a row would wait for itself
        i32x16 next[kRows];
        set_zero(next);
        dot_slab<kRows>(Low{}, codes, table, xq, x.stride, total);
        dot_slab<kRows>(High{}, codes, table, xq + 32, x.stride, next);
        finish_group(g, total);
        finish_group(g + 1, next);
      } else {
        dot_slab<kRows>(Low{}, codes, table, xq, x.stride, total);
        finish_group(g, total);
        set_zero(total);
        dot_slab<kRows>(High{}, codes, table, xq + 32, x.stride, total);
        finish_group(g + 1, total);
      }
      codes += kSlabBytes;
      xq += 64;
      g += 2;
      continue;
    }
    const uint32_t slabs = 2 * w.blocks - g * kSlabs < kSlabs ? 2 * w.blocks - g * kSlabs : kSlabs;
    if constexpr (Groups::kNibbles) {
      for (uint32_t s = 0; s < slabs; s += 2, codes += kSlabBytes, xq += 64) {
        if constexpr (kFetch) prefetch_slab(codes);
        dot_slab<kRows>(Low{}, codes, table, xq, x.stride, total);
        dot_slab<kRows>(High{}, codes, table, xq + 32, x.stride, total);
      }
    } else {
      for (uint32_t s = 0; s < slabs; ++s, codes += kSlabBytes, xq += 32) {
        if constexpr (kFetch) prefetch_slab(codes);
        dot_slab<kRows>(ByteCodes{}, codes, table, xq, x.stride, total);
      }
    }
    finish_group(g++, total);
  }
}

template <class Groups, int kRows, uint32_t kSlabs, bool kFetch>
void dot_int8_rows(const TileMatrix& w, uint32_t tile, const int8_t* table, const QuantizedRows& x, uint32_t row,
                   float* out) {
  f32x16 y[kRows];
  dot_int8<Groups, kRows, kSlabs, kFetch>(w, tile, table, x, row, y);
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) store(out + m * kLanes, y[m]);
}

// `rows` rows from `first_row`: full register tiles first, then halves.
template <class Groups, uint32_t kSlabs>
void dot_int8_tile(const TileMatrix& w, uint32_t tile, const QuantizedRows& x, uint32_t first_row, uint32_t rows,
                   float* out) {
  const Nf4Bytes table = nf4_bytes();
  uint32_t m = 0;
  const auto pass = [&]<int kRows>(Count<kRows>) {
    for (; m + kRows <= rows; m += kRows)
      (m == 0 ? dot_int8_rows<Groups, kRows, kSlabs, true> : dot_int8_rows<Groups, kRows, kSlabs, false>)(
          w, tile, table.value, x, first_row + m, out + m * kLanes);
  };
  pass(Count<kTileRows>{});
  if constexpr (kTileRows > 4) pass(Count<4>{});
  if constexpr (kTileRows > 2) pass(Count<2>{});
  pass(Count<1>{});
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
