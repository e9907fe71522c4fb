// Adapters in int8: integer dots, exact, and so the same in any order. A meets the int8 activations that the base product
// uses; v = A x becomes int16, so that only the weights are rounded noticeably, and meets B in pairs.
#pragma once

#include "cpu/kernels/dot_f32.h"
#include "cpu/kernels/dot_int8.h"
#include "cpu/kernels/quantize.h"

namespace polygraft::PG_ISA {
namespace {

inline constexpr uint32_t kSlabK = 32;
inline constexpr uint32_t kPairBytes = 2 * kLanes;  // of B: two ranks of sixteen outputs

// Codes as weights for f32 activations.
struct AdapterByteSource {
  const uint8_t* codes;
  const float* scales;
  const uint8_t* slab = nullptr;
  f32x16 scale = zero();
  PG_INLINE void begin(uint32_t s) {
    slab = codes + static_cast<size_t>(s) * kSlabBytes;
    scale = load(scales + static_cast<size_t>(s) / (kAdapterGroup / kSlabK) * kLanes);
  }
  PG_INLINE f32x16 at(uint32_t r, uint32_t j) const {
    return mul(scale, to_f32(signed_byte(load_codes(slab + r * 64), j)));
  }
};

// Sixteen ranks as int16 with one step. A NaN reaches the step and so the result.
PG_INLINE void encode_ranks(f32x16 v, RankTile& tile) {
  const float amax = reduce_max_bits(bit_and(bits(v), set1_i32(0x7fffffff)));
  const f32x16 inverse = set1(amax > kSmallestAmax ? kLargestInt16 / amax : 0.0f);
  store_low_halves(tile.coded.codes, round_to_i32(mul(v, inverse)));
  tile.coded.step = amax / kLargestInt16;
}

// kRows rows from `row` of x, whose groups are kSlabs slabs.
template <int kRows, uint32_t kSlabs, bool kFetch>
void shrink_rows_int8(const ShrinkTile& args, const QuantizedRows& x, uint32_t row, RankTile* out) {
  const uint32_t slabs = (args.k + kSlabK - 1) / kSlabK;
  const uint8_t* codes = args.a;
  const int8_t* xq = x.codes + static_cast<size_t>(row) * x.stride;
  const float* xd = x.scales + static_cast<size_t>(row) * x.groups;
  const float* xs = x.sums + static_cast<size_t>(row) * x.groups;
  f32x16 v[kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) v[m] = zero();
  for (uint32_t s = 0; s < slabs;) {
    const f32x16 scale = load(args.scales + static_cast<size_t>(s) / (kAdapterGroup / kSlabK) * kLanes);
    f32x16 t[kRows];
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) t[m] = zero();
    const uint32_t end = s + kAdapterGroup / kSlabK < slabs ? s + kAdapterGroup / kSlabK : slabs;
    while (s < end) {
      i32x16 total[kRows];
      set_zero(total);
      const uint32_t g = s / kSlabs, group_end = s + kSlabs < end ? s + kSlabs : end;
      for (; s < group_end; ++s, codes += kSlabBytes, xq += kSlabK) {
        if constexpr (kFetch) prefetch_slab(codes);
        dot_slab<kRows>(ByteCodes{}, codes, nullptr, xq, x.stride, total);
      }
#pragma GCC unroll 8
      for (int m = 0; m < kRows; ++m) {
        const size_t at = static_cast<size_t>(m) * x.groups + g;
        t[m] = fma(to_f32(finish_dot(ByteCodes{}, total[m], xs[at])), set1(xd[at]), t[m]);
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) v[m] = fma(scale, t[m], v[m]);
  }
  for (int m = 0; m < kRows; ++m) encode_ranks(v[m], out[static_cast<size_t>(m) * args.v_stride]);
}

template <uint32_t kSlabs>
void shrink_groups_int8(const ShrinkTile& args, const QuantizedRows& x) {
  uint32_t m = 0;
  const auto pass = [&]<int kRows>(Count<kRows>) {
    for (; m + kRows <= args.rows; m += kRows)
      (m == 0 ? shrink_rows_int8<kRows, kSlabs, true> : shrink_rows_int8<kRows, kSlabs, false>)(
          args, x, args.first_row + m, args.v + static_cast<size_t>(m) * args.v_stride);
  };
  pass(Count<kTileRows>{});
  if constexpr (kTileRows > 4) pass(Count<4>{});
  if constexpr (kTileRows > 2) pass(Count<2>{});
  pass(Count<1>{});
}

void shrink_int8(const ShrinkTile& args, const QuantizedRows& x) {
  switch (x.group) {
    case 32: return shrink_groups_int8<1>(args, x);
    case 64: return shrink_groups_int8<2>(args, x);
    default: return shrink_groups_int8<4>(args, x);
  }
}

// out[m] += scaling * Σ_r v[m][r] B[r], for kRows rows at once.
template <int kRows>
PG_INLINE void expand_rows_int8(const ExpandSpan& span, uint32_t tile, const RankTile* v, float* out) {
  const auto* b = reinterpret_cast<const int8_t*>(span.b + static_cast<size_t>(tile) * span.tile_bytes);
  f32x16 t[kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) t[m] = zero();
  for (uint32_t r = 0; r < span.rank; r += kLanes, ++v) {
    i32x16 sum[kRows], odd[kRows];  // few rows: two sums, so that none waits for itself
    set_zero(sum);
    set_zero(odd);
    const auto add_pair = [&](uint32_t pair, i32x16(&total)[kRows]) __attribute__((always_inline)) {
      const i32x16 weights = load_pairs(b);
      b += kPairBytes;
#pragma GCC unroll 8
      for (int m = 0; m < kRows; ++m)
        total[m] = dot_pairs(broadcast_pair(v[m * span.v_stride].coded.codes + 2 * pair), weights, total[m]);
    };
    if (r + kLanes <= span.rank) {
#pragma GCC unroll 8
      for (uint32_t pair = 0; pair < kLanes / 2; ++pair) add_pair(pair, kRows <= 2 && pair % 2 == 1 ? odd : sum);
      if constexpr (kRows <= 2)
        for (int m = 0; m < kRows; ++m) sum[m] = add(sum[m], odd[m]);
    } else {
      for (uint32_t pair = 0; r + 2 * pair < span.rank; ++pair) add_pair(pair, sum);
    }
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) t[m] = fma(to_f32(sum[m]), set1(v[m * span.v_stride].coded.step), t[m]);
  }
  const f32x16 scale = set1(span.scaling * span.scales[tile]);
  for (int m = 0; m < kRows; ++m) store(out + m * kLanes, fma(scale, t[m], load(out + m * kLanes)));
}

}  // namespace
}  // namespace polygraft::PG_ISA
