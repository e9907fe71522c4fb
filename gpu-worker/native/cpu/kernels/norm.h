// RMSNorm: y = x / sqrt(mean(x^2) + eps) * weight.
#pragma once

#include "cpu/simd/simd.h"

namespace polygraft::PG_ISA {
namespace {

void rms_norm_row(const float* x, const float* weight, uint32_t count, float eps, float* y) {
  f32x16 squares = zero();
  for (uint32_t i = 0; i < count; i += kLanes) {
    const f32x16 v = load(x + i, count - i);
    squares = fma(v, v, squares);
  }
  const float mean = reduce_add(squares) / static_cast<float>(count);
  const f32x16 inverse = set1(1.0f / __builtin_sqrtf(mean + eps));
  for (uint32_t i = 0; i < count; i += kLanes) {
    const f32x16 v = mul(mul(load(x + i, count - i), inverse), load(weight + i, count - i));
    store(y + i, v, count - i);
  }
}

}  // namespace
}  // namespace polygraft::PG_ISA
