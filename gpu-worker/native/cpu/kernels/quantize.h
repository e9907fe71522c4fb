// Activations to int8: one scale for each row and weight group, and the sum of the codes for the weights' minimums.
#pragma once

#include "cpu/kernels/exp.h"

namespace polygraft::PG_ISA {
namespace {

inline constexpr float kLargestInt16 = 32767.0f;

// The largest of values that are not negative, given as bits: as integers they are ordered like floats with NaN on top.
PG_INLINE float reduce_max_bits(i32x16 v) {
  const int32_t most = reduce_max(v);
  float value;
  __builtin_memcpy(&value, &most, 4);
  return value;
}

void quantize_row(const float* x, uint32_t k, uint32_t blocks, uint32_t group, int8_t* codes, float* scales,
                  float* sums, float* scaled_sums) {
  const uint32_t padded = blocks * kBlockK;
  const i32x16 magnitude_mask = set1_i32(0x7fffffff);
  for (uint32_t start = 0, g = 0; start < padded; start += group, ++g) {
    const uint32_t end = start + group < padded ? start + group : padded;
    // A NaN reaches the scale and so the result.
    i32x16 largest = zero_i32();
    for (uint32_t i = start; i < end; i += kLanes)
      largest = max(largest, bit_and(bits(load(x + (i < k ? i : 0), i < k ? k - i : 0)), magnitude_mask));
    const float amax = reduce_max_bits(largest);
    const f32x16 inverse = set1(amax > kSmallestAmax ? 127.0f / amax : 0.0f);
    i32x16 sum = zero_i32();
    for (uint32_t i = start; i < end; i += kLanes) {
      const f32x16 v = load(x + (i < k ? i : 0), i < k ? k - i : 0);
      const i32x16 code = round_to_i32(mul(v, inverse));
      store_low_bytes(codes + i, code);
      sum = add(sum, code);
    }
    scales[g] = amax / 127.0f;
    // Codes beside a NaN or an infinity mean nothing, but the scale carries it to the result.
    sums[g] = amax <= __FLT_MAX__ ? static_cast<float>(reduce_add(sum)) : 0.0f;
    scaled_sums[g] = sums[g] * scales[g];
  }
}

}  // namespace
}  // namespace polygraft::PG_ISA
