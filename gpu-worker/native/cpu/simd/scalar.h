// The vector layer in plain C++: the reference that the others must match bit for bit.
#pragma once

namespace polygraft::PG_ISA {
namespace {

// Rows that inner kernels keep in registers: of int8 products, of attention queries, of f32 products. Results do not
// depend on them.
inline constexpr int kTileRows = 1;
inline constexpr int kQueryRows = 1;
inline constexpr uint32_t kQueryVectors = 1;
inline constexpr int kFloatRows = 1;
inline constexpr int kFewRows = 1;

struct f32x16 {
  float lane[16];
};
struct i32x16 {
  int32_t lane[16];
};

template <class F>
PG_INLINE f32x16 each_f32(F f) {
  f32x16 r;
  for (int i = 0; i < 16; ++i) r.lane[i] = f(i);
  return r;
}
template <class F>
PG_INLINE i32x16 each_i32(F f) {
  i32x16 r;
  for (int i = 0; i < 16; ++i) r.lane[i] = static_cast<int32_t>(f(i));
  return r;
}

PG_INLINE uint32_t float_bits(float x) {
  uint32_t u;
  __builtin_memcpy(&u, &x, 4);
  return u;
}
PG_INLINE float bits_float(uint32_t u) {
  float x;
  __builtin_memcpy(&x, &u, 4);
  return x;
}

// IEEE half to float, exact.
PG_INLINE float half_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t magnitude = h & 0x7fff;
  if (magnitude >= 0x7c00) {  // infinity, or NaN made quiet
    const uint32_t payload = static_cast<uint32_t>(magnitude & 0x3ff) << 13;
    return bits_float(sign | 0x7f800000 | payload | (payload ? 0x400000 : 0));
  }
  // Subnormals too: 2^112 moves the exponent's bias, and the product is exact.
  const float value = bits_float(magnitude << 13) * 5.192296858534828e33f;
  return bits_float(sign | float_bits(value));
}

// Float to IEEE half, ties to even, overflow to infinity: what VCVTPS2PH does.
PG_INLINE uint16_t float_to_half(float x) {
  const uint32_t bits = float_bits(x);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x1ff));
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // 65520 and more round to infinity
  if (magnitude < 0x38800000) {                                               // subnormal half: units of 2^-24
    const float unit = bits_float(magnitude) + 0.5f;  // the addition rounds to a multiple of 2^-24, ties to even
    return static_cast<uint16_t>(sign | (float_bits(unit) - 0x3f000000));
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000) >> 13));
}

PG_INLINE float bfloat_to_float(uint16_t b) { return bits_float(static_cast<uint32_t>(b) << 16); }

PG_INLINE f32x16 zero() {
  return each_f32([](int) { return 0.0f; });
}
PG_INLINE f32x16 set1(float x) {
  return each_f32([&](int) { return x; });
}
PG_INLINE f32x16 load(const float* p) {
  return each_f32([&](int i) { return p[i]; });
}
// The first `n` lanes; the others are zero.
PG_INLINE f32x16 load(const float* p, uint32_t n) {
  return each_f32([&](int i) { return static_cast<uint32_t>(i) < n ? p[i] : 0.0f; });
}
PG_INLINE void store(float* p, f32x16 v) {
  for (int i = 0; i < 16; ++i) p[i] = v.lane[i];
}
PG_INLINE void store(float* p, f32x16 v, uint32_t n) {
  for (uint32_t i = 0; i < n && i < 16; ++i) p[i] = v.lane[i];
}
PG_INLINE f32x16 load_f16(const uint16_t* p) {
  return each_f32([&](int i) { return half_to_float(p[i]); });
}
PG_INLINE void store_f16(uint16_t* p, f32x16 v) {
  for (int i = 0; i < 16; ++i) p[i] = float_to_half(v.lane[i]);
}
PG_INLINE f32x16 load_bf16(const uint16_t* p) {
  return each_f32([&](int i) { return bfloat_to_float(p[i]); });
}

PG_INLINE f32x16 add(f32x16 a, f32x16 b) {
  return each_f32([&](int i) { return a.lane[i] + b.lane[i]; });
}
PG_INLINE f32x16 sub(f32x16 a, f32x16 b) {
  return each_f32([&](int i) { return a.lane[i] - b.lane[i]; });
}
PG_INLINE f32x16 mul(f32x16 a, f32x16 b) {
  return each_f32([&](int i) { return a.lane[i] * b.lane[i]; });
}
PG_INLINE f32x16 div(f32x16 a, f32x16 b) {
  return each_f32([&](int i) { return a.lane[i] / b.lane[i]; });
}
PG_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) {
  return each_f32([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
}
// a > b ? a : b, hence b if either is NaN.
PG_INLINE f32x16 max(f32x16 a, f32x16 b) {
  return each_f32([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
// a < b ? a : b, hence b if either is NaN.
PG_INLINE f32x16 min(f32x16 a, f32x16 b) {
  return each_f32([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
// a < b ? x : y in each lane.
PG_INLINE f32x16 select_less(f32x16 a, f32x16 b, f32x16 x, f32x16 y) {
  return each_f32([&](int i) { return a.lane[i] < b.lane[i] ? x.lane[i] : y.lane[i]; });
}
// Lane i += lane i+8, then +4, +2, +1.
PG_INLINE float reduce_add(f32x16 v) {
  for (int step = 8; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) v.lane[i] += v.lane[i + step];
  return v.lane[0];
}
// In the same order as reduce_add.
PG_INLINE float reduce_max(f32x16 v) {
  for (int step = 8; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) v.lane[i] = v.lane[i] > v.lane[i + step] ? v.lane[i] : v.lane[i + step];
  return v.lane[0];
}

PG_INLINE i32x16 bits(f32x16 v) {
  return each_i32([&](int i) { return float_bits(v.lane[i]); });
}
PG_INLINE f32x16 from_bits(i32x16 v) {
  return each_f32([&](int i) { return bits_float(static_cast<uint32_t>(v.lane[i])); });
}
PG_INLINE i32x16 set1_i32(int32_t x) {
  return each_i32([&](int) { return x; });
}
PG_INLINE i32x16 zero_i32() { return set1_i32(0); }
PG_INLINE i32x16 add(i32x16 a, i32x16 b) {
  return each_i32([&](int i) { return static_cast<uint32_t>(a.lane[i]) + static_cast<uint32_t>(b.lane[i]); });
}
PG_INLINE i32x16 sub(i32x16 a, i32x16 b) {
  return each_i32([&](int i) { return static_cast<uint32_t>(a.lane[i]) - static_cast<uint32_t>(b.lane[i]); });
}
PG_INLINE i32x16 bit_and(i32x16 a, i32x16 b) {
  return each_i32([&](int i) { return a.lane[i] & b.lane[i]; });
}
PG_INLINE i32x16 max(i32x16 a, i32x16 b) {
  return each_i32([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
PG_INLINE i32x16 shift_left(i32x16 v, int n) {
  return each_i32([&](int i) { return static_cast<uint32_t>(v.lane[i]) << n; });
}
PG_INLINE i32x16 shift_right(i32x16 v, int n) {  // zeros enter
  return each_i32([&](int i) { return static_cast<uint32_t>(v.lane[i]) >> n; });
}
PG_INLINE i32x16 shift_right_signed(i32x16 v, int n) {
  return each_i32([&](int i) { return v.lane[i] >> n; });
}
PG_INLINE f32x16 to_f32(i32x16 v) {
  return each_f32([&](int i) { return static_cast<float>(v.lane[i]); });
}
PG_INLINE int32_t reduce_add(i32x16 v) {
  uint32_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += static_cast<uint32_t>(v.lane[i]);
  return static_cast<int32_t>(sum);
}
PG_INLINE int32_t reduce_max(i32x16 v) {
  int32_t m = v.lane[0];
  for (int i = 1; i < 16; ++i) m = v.lane[i] > m ? v.lane[i] : m;
  return m;
}
// The lowest byte of each lane.
PG_INLINE void store_low_bytes(int8_t* p, i32x16 v) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(v.lane[i] & 0xff);
}
PG_INLINE i32x16 load_codes(const uint8_t* p) {
  i32x16 r;
  __builtin_memcpy(r.lane, p, 64);
  return r;
}
PG_INLINE i32x16 load_i32(const int32_t* p) {
  return each_i32([&](int i) { return p[i]; });
}

// table[index], index in 0..15.
struct Table16 {
  float value[16];
};
PG_INLINE Table16 load_table(const float* p) {
  Table16 t;
  for (int i = 0; i < 16; ++i) t.value[i] = p[i];
  return t;
}
PG_INLINE f32x16 lookup(const Table16& t, i32x16 index) {
  return each_f32([&](int i) { return t.value[index.lane[i] & 15]; });
}

// ---- Integer dots. A slab is 8 x 64 code bytes: 32 k of 16 columns, byte = column x 4 k.
// What a code byte means: the low or high nibble (0..15), a nibble into a table of int8, or an int8.
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
PG_INLINE int32_t decode(NibbleCodes<kHigh>, uint8_t byte, const int8_t*) {
  return kHigh ? byte >> 4 : byte & 15;
}
template <bool kHigh>
PG_INLINE int32_t decode(TableCodes<kHigh>, uint8_t byte, const int8_t* table) {
  return table[kHigh ? byte >> 4 : byte & 15];
}
PG_INLINE int32_t decode(ByteCodes, uint8_t byte, const int8_t*) { return static_cast<int8_t>(byte); }

// The weights of 64 code bytes, for products of signed bytes (tiles.h; no AVX2 CPU has those).
template <class Codes>
PG_INLINE void store_weights(Codes meaning, const uint8_t* codes, const int8_t* table, int8_t* out) {
  for (int i = 0; i < 64; ++i) out[i] = static_cast<int8_t>(decode(meaning, codes[i], table));
}

// total[m] += Σ_k w[k][lane] * x[m][k] over a slab. `table`: 16 int8 for TableCodes.
template <int kRows, class Codes>
PG_INLINE void dot_slab(Codes meaning, const uint8_t* codes, const int8_t* table, const int8_t* x, size_t x_stride,
                        i32x16 (&total)[kRows]) {
  for (int m = 0; m < kRows; ++m)
    for (int r = 0; r < 8; ++r)
      for (int i = 0; i < 16; ++i)
        for (int j = 0; j < 4; ++j)
          total[m].lane[i] += decode(meaning, codes[r * 64 + i * 4 + j], table) * x[m * x_stride + r * 4 + j];
}
// Turns what dot_slab has summed over a group into the sum wanted; `x_sum` = Σ x over the group.
template <class Codes>
PG_INLINE i32x16 finish_dot(Codes, i32x16 total, float) {
  return total;
}

// ---- Dots of int16 pairs: 32-bit lane i holds the pair 2i, 2i+1.
// The low 16 bits of each lane.
PG_INLINE void store_low_halves(int16_t* p, i32x16 v) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int16_t>(v.lane[i] & 0xffff);
}
// Sixteen pairs of int8, each widened to int16.
PG_INLINE i32x16 load_pairs(const int8_t* p) {
  return each_i32([&](int i) {
    return static_cast<uint32_t>(static_cast<uint16_t>(p[2 * i])) | static_cast<uint32_t>(p[2 * i + 1]) << 16;
  });
}
// The same pair in each lane.
PG_INLINE i32x16 broadcast_pair(const int16_t* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, 4);
  return set1_i32(pair);
}
// total + the sum of both products of a pair.
PG_INLINE i32x16 dot_pairs(i32x16 a, i32x16 b, i32x16 total) {
  const auto low = [](int32_t x) { return static_cast<int16_t>(x & 0xffff); };
  return each_i32([&](int i) {
    return total.lane[i] + low(a.lane[i]) * low(b.lane[i]) + (a.lane[i] >> 16) * (b.lane[i] >> 16);
  });
}

}  // namespace
}  // namespace polygraft::PG_ISA
