// The vector layer in AVX-512 (F, BW, VL, DQ, VNNI): sixteen lanes are one register.
#pragma once

#if defined(PG_INTRINSICS)
#include PG_INTRINSICS  // tests: the same intrinsics for a CPU that lacks them
#else
#include <immintrin.h>
#endif

namespace polygraft::PG_ISA {
namespace {

inline constexpr int kTileRows = 8;
inline constexpr int kQueryRows = 4;
inline constexpr uint32_t kQueryVectors = 4;
inline constexpr int kFloatRows = 8;
inline constexpr int kFewRows = 4;

struct f32x16 {
  __m512 v;
};
struct i32x16 {
  __m512i v;
};

PG_INLINE f32x16 zero() { return {_mm512_setzero_ps()}; }
PG_INLINE f32x16 set1(float x) { return {_mm512_set1_ps(x)}; }
PG_INLINE f32x16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
PG_INLINE void store(float* p, f32x16 v) { _mm512_storeu_ps(p, v.v); }
PG_INLINE __mmask16 lane_mask(uint32_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << n) - 1);
}
PG_INLINE f32x16 load(const float* p, uint32_t n) { return {_mm512_maskz_loadu_ps(lane_mask(n), p)}; }
PG_INLINE void store(float* p, f32x16 v, uint32_t n) { _mm512_mask_storeu_ps(p, lane_mask(n), v.v); }
PG_INLINE f32x16 load_f16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
PG_INLINE void store_f16(uint16_t* p, f32x16 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(v.v, _MM_FROUND_TO_NEAREST_INT));
}
PG_INLINE uint16_t float_to_half(float x) {
  return static_cast<uint16_t>(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT)));
}
PG_INLINE f32x16 load_bf16(const uint16_t* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}

PG_INLINE f32x16 add(f32x16 x, f32x16 y) { return {_mm512_add_ps(x.v, y.v)}; }
PG_INLINE f32x16 sub(f32x16 x, f32x16 y) { return {_mm512_sub_ps(x.v, y.v)}; }
PG_INLINE f32x16 mul(f32x16 x, f32x16 y) { return {_mm512_mul_ps(x.v, y.v)}; }
PG_INLINE f32x16 div(f32x16 x, f32x16 y) { return {_mm512_div_ps(x.v, y.v)}; }
PG_INLINE f32x16 fma(f32x16 x, f32x16 y, f32x16 z) { return {_mm512_fmadd_ps(x.v, y.v, z.v)}; }
PG_INLINE f32x16 max(f32x16 x, f32x16 y) { return {_mm512_max_ps(x.v, y.v)}; }
PG_INLINE f32x16 min(f32x16 x, f32x16 y) { return {_mm512_min_ps(x.v, y.v)}; }
PG_INLINE f32x16 select_less(f32x16 a, f32x16 b, f32x16 x, f32x16 y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
PG_INLINE __m256 high_half(__m512 v) { return _mm512_extractf32x8_ps(v, 1); }
PG_INLINE float reduce_add(f32x16 v) {
  const __m256 by8 = _mm256_add_ps(_mm512_castps512_ps256(v.v), high_half(v.v));
  const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
  const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
  return _mm_cvtss_f32(_mm_add_ss(by2, _mm_shuffle_ps(by2, by2, 1)));
}
PG_INLINE float reduce_max(f32x16 v) {
  const __m256 by8 = _mm256_max_ps(_mm512_castps512_ps256(v.v), high_half(v.v));
  const __m128 by4 = _mm_max_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
  const __m128 by2 = _mm_max_ps(by4, _mm_movehl_ps(by4, by4));
  return _mm_cvtss_f32(_mm_max_ss(by2, _mm_shuffle_ps(by2, by2, 1)));
}

PG_INLINE i32x16 bits(f32x16 v) { return {_mm512_castps_si512(v.v)}; }
PG_INLINE f32x16 from_bits(i32x16 v) { return {_mm512_castsi512_ps(v.v)}; }
PG_INLINE i32x16 set1_i32(int32_t x) { return {_mm512_set1_epi32(x)}; }
PG_INLINE i32x16 zero_i32() { return {_mm512_setzero_si512()}; }
PG_INLINE i32x16 add(i32x16 x, i32x16 y) { return {_mm512_add_epi32(x.v, y.v)}; }
PG_INLINE i32x16 sub(i32x16 x, i32x16 y) { return {_mm512_sub_epi32(x.v, y.v)}; }
PG_INLINE i32x16 bit_and(i32x16 x, i32x16 y) { return {_mm512_and_si512(x.v, y.v)}; }
PG_INLINE i32x16 max(i32x16 x, i32x16 y) { return {_mm512_max_epi32(x.v, y.v)}; }
PG_INLINE i32x16 shift_left(i32x16 v, int n) { return {_mm512_sll_epi32(v.v, _mm_cvtsi32_si128(n))}; }
PG_INLINE i32x16 shift_right(i32x16 v, int n) { return {_mm512_srl_epi32(v.v, _mm_cvtsi32_si128(n))}; }
PG_INLINE i32x16 shift_right_signed(i32x16 v, int n) { return {_mm512_sra_epi32(v.v, _mm_cvtsi32_si128(n))}; }
PG_INLINE f32x16 to_f32(i32x16 v) { return {_mm512_cvtepi32_ps(v.v)}; }
// Not _mm512_reduce_add_epi32: GCC's adds signed vectors, whose overflow (the codes of a row with a NaN) is undefined.
PG_INLINE int32_t reduce_add(i32x16 v) {
  const __m256i high = _mm256_castps_si256(high_half(_mm512_castsi512_ps(v.v)));
  const __m256i by8 = _mm256_add_epi32(_mm512_castsi512_si256(v.v), high);
  const __m128i by4 = _mm_add_epi32(_mm256_castsi256_si128(by8), _mm256_extracti128_si256(by8, 1));
  const __m128i by2 = _mm_add_epi32(by4, _mm_shuffle_epi32(by4, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(by2, _mm_shuffle_epi32(by2, 0xb1)));
}
PG_INLINE int32_t reduce_max(i32x16 v) { return _mm512_reduce_max_epi32(v.v); }
PG_INLINE void store_low_bytes(int8_t* p, i32x16 v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v.v));
}
PG_INLINE i32x16 load_codes(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
PG_INLINE i32x16 load_i32(const int32_t* p) { return {_mm512_loadu_si512(p)}; }

struct Table16 {
  __m512 v;
};
PG_INLINE Table16 load_table(const float* p) { return {_mm512_loadu_ps(p)}; }
PG_INLINE f32x16 lookup(const Table16& t, i32x16 index) { return {_mm512_permutexvar_ps(index.v, t.v)}; }

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
PG_INLINE __m512i nibbles(const uint8_t* p) {
  __m512i v = _mm512_loadu_si512(p);
  if constexpr (kHigh) v = _mm512_srli_epi16(v, 4);
  return _mm512_and_si512(v, _mm512_set1_epi8(15));
}
// vpdpbusd wants one unsigned side: signed weights enter as w + 128, and finish_dot takes 128 Σx off again.
PG_INLINE __m512i offset(__m512i w) { return _mm512_xor_si512(w, _mm512_set1_epi8(-128)); }
template <bool kHigh>
PG_INLINE __m512i weights(NibbleCodes<kHigh>, const uint8_t* p, const int8_t*) {
  return nibbles<kHigh>(p);
}
template <bool kHigh>
PG_INLINE __m512i weights(TableCodes<kHigh>, const uint8_t* p, const int8_t* table) {
  const __m512i values = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return _mm512_shuffle_epi8(offset(values), nibbles<kHigh>(p));
}
PG_INLINE __m512i weights(ByteCodes, const uint8_t* p, const int8_t*) { return offset(_mm512_loadu_si512(p)); }

// The weights themselves (see scalar.h).
template <bool kHigh>
PG_INLINE void store_weights(NibbleCodes<kHigh>, const uint8_t* p, const int8_t*, int8_t* out) {
  _mm512_storeu_si512(out, nibbles<kHigh>(p));
}
template <bool kHigh>
PG_INLINE void store_weights(TableCodes<kHigh>, const uint8_t* p, const int8_t* table, int8_t* out) {
  const __m512i values = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  _mm512_storeu_si512(out, _mm512_shuffle_epi8(values, nibbles<kHigh>(p)));
}

// total += the products of each lane's four codes with the four of x. The product reads and spreads these by itself: GCC
// would spread them with an instruction of its own, which takes a sixth of the speed in groups of 64.
PG_INLINE void add_dots(__m512i& total, __m512i w, const int8_t* x) {
#if defined(PG_INTRINSICS) || defined(__SANITIZE_ADDRESS__)  // neither an emulation nor a sanitizer sees into assembly
  int32_t quad;
  __builtin_memcpy(&quad, x, 4);
  total = _mm512_dpbusd_epi32(total, w, _mm512_set1_epi32(quad));
#else
  struct Quad {
    int8_t code[4];
  };
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(total) : "v"(w), "m"(*reinterpret_cast<const Quad*>(x)));
#endif
}

template <int kRows, class Codes>
PG_INLINE void dot_slab(Codes meaning, const uint8_t* codes, const int8_t* table, const int8_t* x, size_t x_stride,
                        i32x16 (&total)[kRows]) {
  const int8_t* row[kRows];  // hidden from GCC, which else keeps a pointer for each row and step, on the stack
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
    row[m] = x + m * x_stride;
    asm("" : "+r"(row[m]));
  }
#pragma GCC unroll 8
  for (int r = 0; r < 8; ++r) {
    const __m512i w = weights(meaning, codes + r * 64, table);
#pragma GCC unroll 16
    for (int m = 0; m < kRows; ++m) add_dots(total[m].v, w, row[m] + r * 4);
  }
}
template <class Codes>
PG_INLINE i32x16 finish_dot(Codes, i32x16 total, float x_sum) {
  if constexpr (Codes::kSigned)
    return {_mm512_sub_epi32(total.v, _mm512_set1_epi32(128 * static_cast<int32_t>(x_sum)))};
  return total;
}

// ---- Dots of int16 pairs (see scalar.h)
PG_INLINE void store_low_halves(int16_t* p, i32x16 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(v.v));
}
PG_INLINE i32x16 load_pairs(const int8_t* p) {
  return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
PG_INLINE i32x16 broadcast_pair(const int16_t* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, 4);
  return {_mm512_set1_epi32(pair)};
}
PG_INLINE i32x16 dot_pairs(i32x16 a, i32x16 b, i32x16 total) {
  return {_mm512_dpwssd_epi32(total.v, a.v, b.v)};
}

}  // namespace
}  // namespace polygraft::PG_ISA
