// Sixteen columns times f32 rows: four accumulators take k = 0, 1, 2, 3 modulo 4 in ascending order.
#pragma once

#include "cpu/simd/simd.h"

namespace polygraft::PG_ISA {
namespace {

// A source of weights hands out w[k][16] for k = 32 * slab + 4 * r + j.
struct FloatSource {
  const float* p;
  const float* slab = nullptr;
  PG_INLINE void begin(uint32_t s) { slab = p + static_cast<size_t>(s) * 32 * kLanes; }
  PG_INLINE f32x16 at(uint32_t r, uint32_t j) const { return load(slab + (r * 4 + j) * kLanes); }
};
struct HalfSource {
  const uint16_t* p;
  const uint16_t* slab = nullptr;
  PG_INLINE void begin(uint32_t s) { slab = p + static_cast<size_t>(s) * 32 * kLanes; }
  PG_INLINE f32x16 at(uint32_t r, uint32_t j) const { return load_f16(slab + (r * 4 + j) * kLanes); }
};
struct BfloatSource {
  const uint16_t* p;
  const uint16_t* slab = nullptr;
  PG_INLINE void begin(uint32_t s) { slab = p + static_cast<size_t>(s) * 32 * kLanes; }
  PG_INLINE f32x16 at(uint32_t r, uint32_t j) const { return load_bf16(slab + (r * 4 + j) * kLanes); }
};

// Codes of a tile, with the scales of the slab at hand.
struct CodeSource {
  const uint8_t* codes;
  const uint16_t* scales;
  uint32_t slabs_per_group;
  const uint8_t* slab = nullptr;
  int nibble = 0;  // shift to the slab's nibble
  PG_INLINE CodeSource(const TileMatrix& w, uint32_t tile)
      : codes(w.codes + tile * w.code_stride), scales(w.scales + tile * w.scale_stride), slabs_per_group(w.group / 32) {}
  PG_INLINE void begin_nibbles(uint32_t s) {
    slab = codes + static_cast<size_t>(s / 2) * 512;
    nibble = s % 2 ? 4 : 0;
  }
  PG_INLINE i32x16 code(uint32_t r, uint32_t j) const {
    return bit_and(shift_right(load_codes(slab + r * 64), static_cast<int>(8 * j) + nibble), set1_i32(15));
  }
};
struct AffineSource : CodeSource {
  f32x16 scale, minimum;
  PG_INLINE AffineSource(const TileMatrix& w, uint32_t tile) : CodeSource(w, tile), scale(zero()), minimum(zero()) {}
  PG_INLINE void begin(uint32_t s) {
    begin_nibbles(s);
    const uint16_t* p = scales + static_cast<size_t>(s / slabs_per_group) * 32;
    scale = load_f16(p);
    minimum = load_f16(p + 16);
  }
  PG_INLINE f32x16 at(uint32_t r, uint32_t j) const { return fma(scale, to_f32(code(r, j)), minimum); }
};
struct TableSource : CodeSource {
  Table16 table;
  f32x16 scale;
  PG_INLINE TableSource(const TileMatrix& w, uint32_t tile)
      : CodeSource(w, tile), table(load_table(kNf4Table)), scale(zero()) {}
  PG_INLINE void begin(uint32_t s) {
    begin_nibbles(s);
    scale = load_f16(scales + static_cast<size_t>(s / slabs_per_group) * 16);
  }
  PG_INLINE f32x16 at(uint32_t r, uint32_t j) const { return mul(scale, lookup(table, code(r, j))); }
};
// Byte j of each lane.
PG_INLINE i32x16 signed_byte(i32x16 bytes, uint32_t j) {
  return shift_right_signed(shift_left(bytes, 24 - static_cast<int>(8 * j)), 24);
}
struct ByteSource : CodeSource {
  f32x16 scale;
  PG_INLINE ByteSource(const TileMatrix& w, uint32_t tile) : CodeSource(w, tile), scale(zero()) {}
  PG_INLINE void begin(uint32_t s) {
    slab = codes + static_cast<size_t>(s) * 512;
    scale = load_f16(scales + static_cast<size_t>(s / slabs_per_group) * 16);
  }
  PG_INLINE f32x16 at(uint32_t r, uint32_t j) const {
    return mul(scale, to_f32(signed_byte(load_codes(slab + r * 64), j)));
  }
};

// Few rows: the four accumulators side by side hide each other's latency.
template <int kRows, class Source>
PG_INLINE void dot_f32_few(Source& w, uint32_t k, const float* x, size_t x_stride, f32x16 (&y)[kRows]) {
  f32x16 sum[4][kRows];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j)
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) sum[j][m] = zero();
  const auto step = [&](uint32_t r, uint32_t j) __attribute__((always_inline)) {
    const f32x16 weight = w.at(r, j);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) sum[j][m] = fma(weight, set1(x[m * x_stride + r * 4 + j]), sum[j][m]);
  };
  for (uint32_t s = 0; s * 32 < k; ++s, x += 32) {
    w.begin(s);
    const uint32_t n = k - s * 32 < 32 ? k - s * 32 : 32;
    for (uint32_t r = 0; r < n / 4; ++r)
#pragma GCC unroll 4
      for (uint32_t j = 0; j < 4; ++j) step(r, j);
#pragma GCC unroll 4
    for (uint32_t j = 0; j < 3; ++j)
      if (j < n % 4) step(n / 4, j);
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) y[m] = add(add(sum[0][m], sum[1][m]), add(sum[2][m], sum[3][m]));
}

// Many rows: one accumulator after the other, so that each weight is unpacked once for all rows.
template <int kRows, class Source>
PG_INLINE void dot_f32_many(Source& w, uint32_t k, const float* x, size_t x_stride, f32x16 (&y)[kRows]) {
  f32x16 sum[4][kRows];
  for (uint32_t j = 0; j < 4; ++j) {
    f32x16 part[kRows];
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) part[m] = zero();
    for (uint32_t s = 0; s * 32 < k; ++s) {
      w.begin(s);
      const uint32_t n = k - s * 32 < 32 ? k - s * 32 : 32;
      const float* xs = x + s * 32 + j;
      for (uint32_t r = 0; r < (n + 3 - j) / 4; ++r) {
        const f32x16 weight = w.at(r, j);
#pragma GCC unroll 8
        for (int m = 0; m < kRows; ++m) part[m] = fma(weight, set1(xs[m * x_stride + r * 4]), part[m]);
      }
    }
    for (int m = 0; m < kRows; ++m) sum[j][m] = part[m];
  }
  for (int m = 0; m < kRows; ++m) y[m] = add(add(sum[0][m], sum[1][m]), add(sum[2][m], sum[3][m]));
}

// y[m][16] for `rows` rows.
template <class Source>
void dot_f32_tile(Source w, uint32_t k, const float* x, size_t x_stride, uint32_t rows, float* y, size_t y_stride) {
  uint32_t m = 0;
  const auto pass = [&]<int kRows>(Count<kRows>) {
    for (; m + kRows <= rows; m += kRows) {
      f32x16 result[kRows];
      if constexpr (kRows <= kFewRows)
        dot_f32_few<kRows>(w, k, x + m * x_stride, x_stride, result);
      else
        dot_f32_many<kRows>(w, k, x + m * x_stride, x_stride, result);
      for (int i = 0; i < kRows; ++i) store(y + (m + i) * y_stride, result[i]);
    }
  };
  pass(Count<kFloatRows>{});
  if constexpr (kFloatRows > 4) pass(Count<4>{});
  if constexpr (kFloatRows > 2) pass(Count<2>{});
  pass(Count<1>{});
}

}  // namespace
}  // namespace polygraft::PG_ISA
