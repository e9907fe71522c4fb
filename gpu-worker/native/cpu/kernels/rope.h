// Rotary embedding (half-split, as Hugging Face has it) with optional q/k norm, and the filing of keys and values.
#pragma once

#include "cpu/kernels/attention_int8.h"
#include "cpu/kernels/norm.h"

namespace polygraft::PG_ISA {
namespace {

// y[i], y[i + h] = rotation of x[i], x[i + h] by the angle of pair i, h = head_dim / 2. x and y may be the same.
PG_INLINE void rotate(const float* x, uint32_t half, const float* cosines, const float* sines, float* y) {
  for (uint32_t i = 0; i < half; i += kLanes) {
    const uint32_t n = half - i;
    const f32x16 first = load(x + i, n), second = load(x + half + i, n);
    const f32x16 c = load(cosines + i, n), s = load(sines + i, n);
    store(y + i, fma(second, sub(zero(), s), mul(first, c)), n);
    store(y + half + i, fma(first, s, mul(second, c)), n);
  }
}

PG_INLINE void store_element(float* p, float x) { *p = x; }
PG_INLINE void store_element(uint16_t* p, float x) { *p = float_to_half(x); }
PG_INLINE void store_lanes(float* p, f32x16 v) { store(p, v); }
PG_INLINE void store_lanes(uint16_t* p, f32x16 v) { store_f16(p, v); }

// Files a key and a value. Layout: cpu_kv_pool.h.
template <class Element>
PG_INLINE void file(const RopeRow& args, Element* block, const float* key, const float* v) {
  const uint32_t dim = args.head_dim;
  for (uint32_t d = 0; d < dim; ++d) store_element(block + d * kBlockTokens + args.slot, key[d]);
  Element* value = block + args.value_offset + static_cast<size_t>(args.slot) * args.value_stride;
  for (uint32_t d = 0; d < dim; d += kLanes) store_lanes(value + d, load(v + d, dim - d));
}
PG_INLINE void file(const RopeRow& args, int8_t* block, const float* key, const float* v) {
  store_int8(args, block, key, v);
}

template <class Element>
PG_INLINE void rope_row_as(const RopeRow& args) {
  const uint32_t dim = args.head_dim, half = dim / 2;
  for (uint32_t h = 0; h < args.heads; ++h) {
    float* q = args.q + h * dim;
    if (args.q_norm) rms_norm_row(q, args.q_norm, dim, args.eps, q);
    rotate(q, half, args.cosines, args.sines, q);
  }
  alignas(64) float key[kMaxHeadDim];
  for (uint32_t h = 0; h < args.kv_heads; ++h) {
    Element* block = static_cast<Element*>(args.block) + h * args.head_stride;
    const float* k = args.k + h * dim;
    if (args.k_norm) {
      rms_norm_row(k, args.k_norm, dim, args.eps, key);
      k = key;
    }
    rotate(k, half, args.cosines, args.sines, key);
    const float* v = args.v + h * dim;
    file(args, block, key, v);
  }
}

void rope_row(const RopeRow& args) {
  switch (args.kv_type) {
    case KvType::kF32: return rope_row_as<float>(args);
    case KvType::kF16: return rope_row_as<uint16_t>(args);
    case KvType::kInt8: return rope_row_as<int8_t>(args);
  }
}

}  // namespace
}  // namespace polygraft::PG_ISA
