// AVX-512 intrinsics for a CPU that lacks them: SIMDe (https://github.com/simd-everywhere/simde), and below those that
// its 0.7 releases miss. With -DPG_EMULATE_AVX512=ON the tests run cpu/simd/avx512.h on these.
#pragma once

#define SIMDE_NO_NATIVE
#define SIMDE_NO_INLINE  // inlined, they take compilers many minutes
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>

#include <cstring>

#include "model/half.h"

typedef simde__mmask16 __mmask16;

namespace emulated {

template <class T, class V>
struct Lanes {
  T lane[sizeof(V) / sizeof(T)];
  explicit Lanes(V v) { std::memcpy(lane, &v, sizeof v); }
  Lanes() : lane{} {}
  V get() const {
    V v;
    std::memcpy(&v, lane, sizeof v);
    return v;
  }
};
using F16 = Lanes<float, simde__m512>;
using I16 = Lanes<int32_t, simde__m512i>;
using H16 = Lanes<uint16_t, simde__m256i>;

inline simde__m512 maskz_loadu_ps(simde__mmask16 mask, const float* p) {
  F16 r;
  for (int i = 0; i < 16; ++i)
    if (mask >> i & 1) r.lane[i] = p[i];
  return r.get();
}
inline void mask_storeu_ps(float* p, simde__mmask16 mask, simde__m512 v) {
  const F16 r(v);
  for (int i = 0; i < 16; ++i)
    if (mask >> i & 1) p[i] = r.lane[i];
}
inline simde__m512 cvtph_ps(simde__m256i v) {
  const H16 h(v);
  F16 r;
  for (int i = 0; i < 16; ++i) r.lane[i] = polygraft::fp16_to_float(h.lane[i]);
  return r.get();
}
inline simde__m256i cvtps_ph(simde__m512 v) {
  const F16 f(v);
  H16 r;
  for (int i = 0; i < 16; ++i) r.lane[i] = polygraft::float_to_fp16(f.lane[i]);
  return r.get();
}
inline simde__m512i cvtepu16_epi32(simde__m256i v) {
  const H16 h(v);
  I16 r;
  for (int i = 0; i < 16; ++i) r.lane[i] = h.lane[i];
  return r.get();
}
inline simde__m256 extractf32x8_ps(simde__m512 v, int half) {
  simde__m256 r;
  std::memcpy(&r, reinterpret_cast<const char*>(&v) + 32 * half, 32);
  return r;
}
inline simde__m512i sra_epi32(simde__m512i v, simde__m128i count) {
  I16 r(v);
  int64_t n;
  std::memcpy(&n, &count, 8);
  for (int32_t& x : r.lane) x >>= n;
  return r.get();
}
inline simde__m512 cvtepi32_ps(simde__m512i v) {
  const I16 x(v);
  F16 r;
  for (int i = 0; i < 16; ++i) r.lane[i] = static_cast<float>(x.lane[i]);
  return r.get();
}
inline int32_t reduce_add_epi32(simde__m512i v) {
  uint32_t sum = 0;
  for (const int32_t x : I16(v).lane) sum += static_cast<uint32_t>(x);
  return static_cast<int32_t>(sum);
}
inline int32_t reduce_max_epi32(simde__m512i v) {
  const I16 x(v);
  int32_t m = x.lane[0];
  for (const int32_t y : x.lane) m = y > m ? y : m;
  return m;
}
inline simde__m128i cvtepi32_epi8(simde__m512i v) {
  const I16 x(v);
  Lanes<int8_t, simde__m128i> r;
  for (int i = 0; i < 16; ++i) r.lane[i] = static_cast<int8_t>(x.lane[i] & 0xff);
  return r.get();
}
// maxps and minps return the second operand when either is NaN; SIMDe's own differ between releases.
inline simde__m512 max_ps(simde__m512 a, simde__m512 b) {
  F16 x(a);
  const F16 y(b);
  for (int i = 0; i < 16; ++i) x.lane[i] = x.lane[i] > y.lane[i] ? x.lane[i] : y.lane[i];
  return x.get();
}
inline simde__m512 min_ps(simde__m512 a, simde__m512 b) {
  F16 x(a);
  const F16 y(b);
  for (int i = 0; i < 16; ++i) x.lane[i] = x.lane[i] < y.lane[i] ? x.lane[i] : y.lane[i];
  return x.get();
}
// A fused multiply-add, whatever SIMDe does on this machine.
inline simde__m512 fmadd_ps(simde__m512 a, simde__m512 b, simde__m512 c) {
  F16 x(a);
  const F16 y(b), z(c);
  for (int i = 0; i < 16; ++i) x.lane[i] = __builtin_fmaf(x.lane[i], y.lane[i], z.lane[i]);
  return x.get();
}

}  // namespace emulated

#undef _mm512_max_ps
#undef _mm512_min_ps
#undef _mm512_fmadd_ps
#define _mm512_max_ps emulated::max_ps
#define _mm512_min_ps emulated::min_ps
#define _mm512_fmadd_ps emulated::fmadd_ps
#define _mm512_maskz_loadu_ps emulated::maskz_loadu_ps
#define _mm512_mask_storeu_ps emulated::mask_storeu_ps
#define _mm512_cvtph_ps emulated::cvtph_ps
#define _mm512_cvtps_ph(v, rounding) emulated::cvtps_ph(v)
#define _mm512_cvtepu16_epi32 emulated::cvtepu16_epi32
#define _mm512_extractf32x8_ps emulated::extractf32x8_ps
#define _mm512_sra_epi32 emulated::sra_epi32
#define _mm512_cvtepi32_ps emulated::cvtepi32_ps
#define _mm512_reduce_add_epi32 emulated::reduce_add_epi32
#define _mm512_reduce_max_epi32 emulated::reduce_max_epi32
#define _mm512_cvtepi32_epi8 emulated::cvtepi32_epi8
