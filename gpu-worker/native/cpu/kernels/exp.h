// exp and silu by one polynomial: the same operations, hence the same bits, in every instruction set.
#pragma once

#include "cpu/simd/simd.h"

namespace polygraft::PG_ISA {
namespace {

// Adding 1.5 * 2^23 to |x| < 2^22 rounds x to an integer (ties to even), which the low mantissa bits then hold.
inline constexpr float kRoundMagic = 12582912.0f;
inline constexpr int32_t kRoundMagicBits = 0x4b400000;

// x to the nearest integer, ties to even; |x| < 2^22.
PG_INLINE i32x16 round_to_i32(f32x16 x) { return sub(bits(add(x, set1(kRoundMagic))), set1_i32(kRoundMagicBits)); }

// e^x within 2 ulp; 0 below -87.33 (where the result would be subnormal), saturated above 88.37, NaN stays NaN.
PG_INLINE f32x16 exp(f32x16 x) {
  const f32x16 lowest = set1(-87.33f);
  const f32x16 clamped = min(set1(88.37f), max(lowest, x));
  const f32x16 magic = set1(kRoundMagic);
  const f32x16 shifted = fma(clamped, set1(1.44269504f), magic);
  const f32x16 n = sub(shifted, magic);
  // r = x - n ln 2, with ln 2 in two parts so that the first product is exact.
  f32x16 r = fma(n, set1(-0.693359375f), clamped);
  r = fma(n, set1(2.12194440e-4f), r);
  f32x16 p = set1(1.0f / 5040);
  p = fma(p, r, set1(1.0f / 720));
  p = fma(p, r, set1(1.0f / 120));
  p = fma(p, r, set1(1.0f / 24));
  p = fma(p, r, set1(1.0f / 6));
  p = fma(p, r, set1(0.5f));
  p = fma(p, r, set1(1.0f));
  p = fma(p, r, set1(1.0f));
  const f32x16 power = from_bits(add(shift_left(bits(shifted), 23), set1_i32(0x3f800000)));  // 2^n
  return select_less(x, lowest, zero(), mul(p, power));
}

// x / (1 + e^-x).
PG_INLINE f32x16 silu(f32x16 x) { return div(x, add(set1(1.0f), exp(sub(zero(), x)))); }

}  // namespace
}  // namespace polygraft::PG_ISA
