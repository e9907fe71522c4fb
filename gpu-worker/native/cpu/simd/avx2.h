// The vector layer in AVX2 + FMA + F16C: sixteen lanes are two registers.
#pragma once

#include <immintrin.h>

namespace polygraft::PG_ISA {
namespace {

inline constexpr int kTileRows = 4;
inline constexpr int kQueryRows = 4;
inline constexpr uint32_t kQueryVectors = 1;
inline constexpr int kFloatRows = 4;
inline constexpr int kFewRows = 1;

struct f32x16 {
  __m256 a, b;
};
struct i32x16 {
  __m256i a, b;
};

PG_INLINE f32x16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
PG_INLINE f32x16 set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
PG_INLINE f32x16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
PG_INLINE void store(float* p, f32x16 v) {
  _mm256_storeu_ps(p, v.a);
  _mm256_storeu_ps(p + 8, v.b);
}
// Lanes of an AVX2 mask: all ones where lane + first < n.
PG_INLINE __m256i lane_mask(uint32_t n, int first) {
  const __m256i lane = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first));
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n > 16 ? 16 : static_cast<int>(n)), lane);
}
PG_INLINE f32x16 load(const float* p, uint32_t n) {
  return {_mm256_maskload_ps(p, lane_mask(n, 0)), _mm256_maskload_ps(p + 8, lane_mask(n, 8))};
}
PG_INLINE void store(float* p, f32x16 v, uint32_t n) {
  _mm256_maskstore_ps(p, lane_mask(n, 0), v.a);
  _mm256_maskstore_ps(p + 8, lane_mask(n, 8), v.b);
}
PG_INLINE f32x16 load_f16(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
PG_INLINE void store_f16(uint16_t* p, f32x16 v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v.a, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(v.b, _MM_FROUND_TO_NEAREST_INT));
}
PG_INLINE uint16_t float_to_half(float x) { return _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT); }
PG_INLINE __m256 widen_bf16(const uint16_t* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
PG_INLINE f32x16 load_bf16(const uint16_t* p) { return {widen_bf16(p), widen_bf16(p + 8)}; }

PG_INLINE f32x16 add(f32x16 x, f32x16 y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
PG_INLINE f32x16 sub(f32x16 x, f32x16 y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
PG_INLINE f32x16 mul(f32x16 x, f32x16 y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
PG_INLINE f32x16 div(f32x16 x, f32x16 y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
PG_INLINE f32x16 fma(f32x16 x, f32x16 y, f32x16 z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
PG_INLINE f32x16 max(f32x16 x, f32x16 y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
PG_INLINE f32x16 min(f32x16 x, f32x16 y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
PG_INLINE f32x16 select_less(f32x16 a, f32x16 b, f32x16 x, f32x16 y) {
  return {_mm256_blendv_ps(y.a, x.a, _mm256_cmp_ps(a.a, b.a, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.b, x.b, _mm256_cmp_ps(a.b, b.b, _CMP_LT_OQ))};
}
PG_INLINE float reduce_add(f32x16 v) {
  const __m256 by8 = _mm256_add_ps(v.a, v.b);
  const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
  const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
  return _mm_cvtss_f32(_mm_add_ss(by2, _mm_shuffle_ps(by2, by2, 1)));
}
PG_INLINE float reduce_max(f32x16 v) {
  const __m256 by8 = _mm256_max_ps(v.a, v.b);
  const __m128 by4 = _mm_max_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
  const __m128 by2 = _mm_max_ps(by4, _mm_movehl_ps(by4, by4));
  return _mm_cvtss_f32(_mm_max_ss(by2, _mm_shuffle_ps(by2, by2, 1)));
}

PG_INLINE i32x16 bits(f32x16 v) { return {_mm256_castps_si256(v.a), _mm256_castps_si256(v.b)}; }
PG_INLINE f32x16 from_bits(i32x16 v) { return {_mm256_castsi256_ps(v.a), _mm256_castsi256_ps(v.b)}; }
PG_INLINE i32x16 set1_i32(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
PG_INLINE i32x16 zero_i32() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
PG_INLINE i32x16 add(i32x16 x, i32x16 y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
PG_INLINE i32x16 sub(i32x16 x, i32x16 y) { return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)}; }
PG_INLINE i32x16 bit_and(i32x16 x, i32x16 y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
PG_INLINE i32x16 max(i32x16 x, i32x16 y) { return {_mm256_max_epi32(x.a, y.a), _mm256_max_epi32(x.b, y.b)}; }
PG_INLINE i32x16 shift_left(i32x16 v, int n) { return {_mm256_slli_epi32(v.a, n), _mm256_slli_epi32(v.b, n)}; }
PG_INLINE i32x16 shift_right(i32x16 v, int n) { return {_mm256_srli_epi32(v.a, n), _mm256_srli_epi32(v.b, n)}; }
PG_INLINE i32x16 shift_right_signed(i32x16 v, int n) { return {_mm256_srai_epi32(v.a, n), _mm256_srai_epi32(v.b, n)}; }
PG_INLINE f32x16 to_f32(i32x16 v) { return {_mm256_cvtepi32_ps(v.a), _mm256_cvtepi32_ps(v.b)}; }
PG_INLINE int32_t reduce_add(i32x16 v) {
  const __m256i by8 = _mm256_add_epi32(v.a, v.b);
  __m128i r = _mm_add_epi32(_mm256_castsi256_si128(by8), _mm256_extracti128_si256(by8, 1));
  r = _mm_add_epi32(r, _mm_shuffle_epi32(r, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(r, _mm_shuffle_epi32(r, 0xb1)));
}
PG_INLINE int32_t reduce_max(i32x16 v) {
  const __m256i by8 = _mm256_max_epi32(v.a, v.b);
  __m128i r = _mm_max_epi32(_mm256_castsi256_si128(by8), _mm256_extracti128_si256(by8, 1));
  r = _mm_max_epi32(r, _mm_shuffle_epi32(r, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(r, _mm_shuffle_epi32(r, 0xb1)));
}
PG_INLINE void store_low_bytes(int8_t* p, i32x16 v) {
  const __m256i pick = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                        0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i even = _mm256_shuffle_epi8(v.a, pick), odd = _mm256_shuffle_epi8(v.b, pick);
  const __m256i pairs = _mm256_unpacklo_epi32(even, odd);  // lanes 0-3, 8-11 | 4-7, 12-15
  const __m128i low = _mm256_castsi256_si128(pairs), high = _mm256_extracti128_si256(pairs, 1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_unpacklo_epi32(low, high));
}
PG_INLINE i32x16 load_codes(const uint8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}

struct Table16 {
  __m256 low, high;
};
PG_INLINE Table16 load_table(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
PG_INLINE __m256 lookup8(const Table16& t, __m256i index) {
  const __m256 high = _mm256_castsi256_ps(_mm256_slli_epi32(index, 28));  // bit 3 of the index becomes the sign
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(t.low, index), _mm256_permutevar8x32_ps(t.high, index), high);
}
PG_INLINE f32x16 lookup(const Table16& t, i32x16 index) { return {lookup8(t, index.a), lookup8(t, index.b)}; }

// ---- Integer dots (see scalar.h)
template <bool kHigh>
struct NibbleCodes {
  static constexpr bool kSigned = false;
};
template <bool kHigh>
struct TableCodes {
  static constexpr bool kSigned = true;
};
struct ByteCodes {
  static constexpr bool kSigned = true;
};

template <bool kHigh>
PG_INLINE __m256i nibbles(const uint8_t* p) {
  __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  if constexpr (kHigh) v = _mm256_srli_epi16(v, 4);
  return _mm256_and_si256(v, _mm256_set1_epi8(15));
}
PG_INLINE __m256i broadcast_table(const int8_t* table) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
}
template <bool kHigh>
PG_INLINE __m256i weights(NibbleCodes<kHigh>, const uint8_t* p, const int8_t*) {
  return nibbles<kHigh>(p);
}
template <bool kHigh>
PG_INLINE __m256i weights(TableCodes<kHigh>, const uint8_t* p, const int8_t* table) {
  return _mm256_shuffle_epi8(broadcast_table(table), nibbles<kHigh>(p));
}
PG_INLINE __m256i weights(ByteCodes, const uint8_t* p, const int8_t*) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
PG_INLINE __m256i broadcast_quad(const int8_t* x) {
  int32_t quad;
  __builtin_memcpy(&quad, x, 4);
  return _mm256_set1_epi32(quad);
}

template <int kRows, class Codes>
PG_INLINE void dot_slab(Codes meaning, const uint8_t* codes, const int8_t* table, const int8_t* x, size_t x_stride,
                        i32x16 (&total)[kRows]) {
  const __m256i ones = _mm256_set1_epi16(1);
  const int8_t* row[kRows];  // hidden from GCC, which else keeps a pointer for each row and step, on the stack
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
    row[m] = x + m * x_stride;
    asm("" : "+r"(row[m]));
  }
  if constexpr (!Codes::kSigned) {
    // A lane takes 16 products of at most 15 * 127: 30480 fits in 16 bits, so one widening serves the slab.
    __m256i sum[kRows][2];
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) sum[m][0] = sum[m][1] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int r = 0; r < 8; ++r) {
      const __m256i w0 = weights(meaning, codes + r * 64, table), w1 = weights(meaning, codes + r * 64 + 32, table);
#pragma GCC unroll 8
      for (int m = 0; m < kRows; ++m) {
        const __m256i quad = broadcast_quad(row[m] + r * 4);
        sum[m][0] = _mm256_add_epi16(sum[m][0], _mm256_maddubs_epi16(w0, quad));
        sum[m][1] = _mm256_add_epi16(sum[m][1], _mm256_maddubs_epi16(w1, quad));
        // Else GCC computes all products of the slab before the first sum, and spills them.
        asm("" : "+x"(sum[m][0]), "+x"(sum[m][1]));
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      total[m].a = _mm256_add_epi32(total[m].a, _mm256_madd_epi16(sum[m][0], ones));
      total[m].b = _mm256_add_epi32(total[m].b, _mm256_madd_epi16(sum[m][1], ones));
    }
  } else {
    // maddubs wants one unsigned side: |w| times x with w's sign. 2 * 127 * 127 fits in 16 bits, but only once.
#pragma GCC unroll 8
    for (int r = 0; r < 8; ++r) {
      const __m256i w0 = weights(meaning, codes + r * 64, table), w1 = weights(meaning, codes + r * 64 + 32, table);
      const __m256i abs0 = _mm256_abs_epi8(w0), abs1 = _mm256_abs_epi8(w1);
#pragma GCC unroll 8
      for (int m = 0; m < kRows; ++m) {
        const __m256i quad = broadcast_quad(row[m] + r * 4);
        const __m256i p0 = _mm256_maddubs_epi16(abs0, _mm256_sign_epi8(quad, w0));
        const __m256i p1 = _mm256_maddubs_epi16(abs1, _mm256_sign_epi8(quad, w1));
        total[m].a = _mm256_add_epi32(total[m].a, _mm256_madd_epi16(p0, ones));
        total[m].b = _mm256_add_epi32(total[m].b, _mm256_madd_epi16(p1, ones));
        asm("" : "+x"(total[m].a), "+x"(total[m].b));
      }
    }
  }
}
template <class Codes>
PG_INLINE i32x16 finish_dot(Codes, i32x16 total, float) {
  return total;
}

// ---- Dots of int16 pairs (see scalar.h)
PG_INLINE void store_low_halves(int16_t* p, i32x16 v) {
  // Sign extension of the low halves makes the pack exact.
  const __m256i a = _mm256_srai_epi32(_mm256_slli_epi32(v.a, 16), 16), b = _mm256_srai_epi32(_mm256_slli_epi32(v.b, 16), 16);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), packed);
}
PG_INLINE i32x16 load_pairs(const int8_t* p) {
  return {_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16)))};
}
PG_INLINE i32x16 broadcast_pair(const int16_t* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, 4);
  return {_mm256_set1_epi32(pair), _mm256_set1_epi32(pair)};
}
PG_INLINE i32x16 dot_pairs(i32x16 a, i32x16 b, i32x16 total) {
  return {_mm256_add_epi32(total.a, _mm256_madd_epi16(a.a, b.a)), _mm256_add_epi32(total.b, _mm256_madd_epi16(a.b, b.b))};
}

}  // namespace
}  // namespace polygraft::PG_ISA
