// The scores and sums of attention over int8 keys and values: integer dots, exact, and so the same in any order.
//
// A query is quantized to int8 (one scale for each head), so that a score is one integer dot. Weights times the scales of
// the values are quantized to int16 within a block, 1/32767 of the largest apart, and multiply pairs of tokens.
#pragma once

#include "cpu/kernels/attention_state.h"
#include "cpu/kernels/dot_int8.h"
#include "cpu/kernels/quantize.h"

namespace polygraft::PG_ISA {
namespace {

inline constexpr uint32_t kKeySlab = 32;  // elements of a key that one slab of codes holds

PG_INLINE uint32_t key_slabs(uint32_t head_dim) { return (head_dim + kKeySlab - 1) / kKeySlab; }

// One vector of head_dim elements as int8 with one scale.
struct QuantizedHead {
  alignas(64) int8_t codes[kMaxHeadDim];  // zeros behind head_dim, up to a multiple of 64
  float scale, sum;                       // sum: of the codes
};
PG_INLINE void quantize_head(const float* x, uint32_t head_dim, QuantizedHead& head) {
  float scaled_sum;
  quantize_row(x, head_dim, (head_dim + kBlockK - 1) / kBlockK, kMaxHeadDim, head.codes, &head.scale, &head.sum,
               &scaled_sum);
}

// Files the key and value of one token. Layout: cpu_kv_pool.h.
PG_INLINE void store_int8(const RopeRow& args, int8_t* block, const float* key, const float* value) {
  QuantizedHead head;
  float* scales = reinterpret_cast<float*>(block + args.scale_offset);
  quantize_head(key, args.head_dim, head);
  int8_t* keys = block + args.slot / kLanes * key_slabs(args.head_dim) * kSlabBytes + args.slot % kLanes * 4;
  for (uint32_t d = 0; d < key_slabs(args.head_dim) * kKeySlab; d += 4)
    __builtin_memcpy(keys + d * kLanes, head.codes + d, 4);
  scales[args.slot] = head.scale;
  quantize_head(value, args.head_dim, head);
  int8_t* values = block + args.value_offset + args.slot / 2 * 2 * args.value_stride + args.slot % 2;
  for (uint32_t d = 0; d < args.value_stride; ++d) values[2 * d] = head.codes[d];
  scales[kBlockTokens + args.slot] = head.scale;
}

// The queries of a ticket.
struct Int8Queries {
  alignas(64) int8_t codes[kMaxQueries][kMaxHeadDim];
  float scale[kMaxQueries], sum[kMaxQueries];
};

// p[i][t..] = scale q_i . K for the sixteen tokens from t.
template <int kQueries>
PG_INLINE void score_tokens_int8(const AttentionTile& args, const Int8Queries& queries, uint32_t first,
                                 const int8_t* keys, const int8_t* next, uint32_t t, float (*p)[kBlockTokens]) {
  const uint32_t slabs = key_slabs(args.head_dim);
  const size_t tile = static_cast<size_t>(t / kLanes) * slabs * kSlabBytes;
  i32x16 total[kQueries];
  set_zero(total);
  for (uint32_t s = 0; s < slabs; ++s) {
    const size_t at = tile + s * kSlabBytes;
    prefetch_row(next, at, kSlabBytes);
    dot_slab<kQueries>(ByteCodes{}, reinterpret_cast<const uint8_t*>(keys + at), nullptr,
                       queries.codes[first] + s * kKeySlab, kMaxHeadDim, total);
  }
  const f32x16 key_scale = load(reinterpret_cast<const float*>(keys + args.scale_offset) + t);
#pragma GCC unroll 8
  for (int i = 0; i < kQueries; ++i) {
    const f32x16 dot = to_f32(finish_dot(ByteCodes{}, total[i], queries.sum[first + i]));
    store(p[i] + t, mul(dot, mul(key_scale, set1(queries.scale[first + i] * args.scale))));
  }
}

// Weights of tokens lo..hi-1 times their values' scales, as int16. Returns what one step of them stands for.
PG_INLINE float quantize_weights(const float* p, const float* value_scales, uint32_t lo, uint32_t hi, int16_t* w) {
  alignas(64) float scaled[kBlockTokens];
  for (uint32_t t = 0; t < kBlockTokens; t += kLanes) store(scaled + t, mul(load(p + t), load(value_scales + t)));
  // Slots that hold no token of this sequence hold anything, also NaN.
  for (uint32_t t = 0; t < lo; ++t) scaled[t] = 0;
  for (uint32_t t = hi; t < kBlockTokens; ++t) scaled[t] = 0;
  // None is negative. A NaN reaches the step and so the result.
  i32x16 largest = zero_i32();
  for (uint32_t t = 0; t < kBlockTokens; t += kLanes) largest = max(largest, bits(load(scaled + t)));
  const float amax = reduce_max_bits(largest);
  const f32x16 inverse = set1(amax > kSmallestAmax ? kLargestInt16 / amax : 0.0f);
  for (uint32_t t = 0; t < kBlockTokens; t += kLanes) {
    store_low_halves(w + t, round_to_i32(mul(load(scaled + t), inverse)));
  }
  return amax / kLargestInt16;
}

// o_i[d..] += step_i w_i . V over pairs of tokens that have one of lo..hi-1, for kVectors x 16 elements from d.
template <int kQueries, int kVectors>
PG_INLINE void mix_values_int8(const AttentionTile& args, const int16_t (*w)[kBlockTokens], const float* step,
                               const int8_t* values, const int8_t* next, uint32_t lo, uint32_t hi, uint32_t d,
                               AttentionState& state, uint32_t first) {
  i32x16 sum[kQueries][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kQueries; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[i][v] = zero_i32();
  for (uint32_t t = lo / 2 * 2; t < hi; t += 2) {
    const size_t at = static_cast<size_t>(t) * args.value_stride + 2 * d;
    i32x16 value[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) value[v] = load_pairs(values + at + v * 2 * kLanes);
    prefetch_row(next, at, kVectors * 2 * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kQueries; ++i) {
      const i32x16 weight = broadcast_pair(w[i] + t);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[i][v] = dot_pairs(weight, value[v], sum[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kQueries; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      float* o = state.o[first + i] + d + v * kLanes;
      store(o, fma(set1(step[i]), to_f32(sum[i][v]), load(o)));
    }
}

// attend_block() of attention.h for int8.
template <int kQueries>
void attend_block(const AttentionTile& args, const Int8Queries& queries, const int8_t* keys, const int8_t* next,
                  uint32_t lo, uint32_t hi, AttentionState& state, uint32_t first) {
  alignas(64) float p[kQueries][kBlockTokens];
  for (uint32_t t = lo / kLanes * kLanes; t < hi; t += kLanes)
    score_tokens_int8<kQueries>(args, queries, first, keys, next, t, p);
  weigh_tokens<kQueries>(args, lo, hi, p, state, first);
  alignas(64) int16_t w[kQueries][kBlockTokens];
  float step[kQueries];
  const float* value_scales = reinterpret_cast<const float*>(keys + args.scale_offset) + kBlockTokens;
  for (int i = 0; i < kQueries; ++i) step[i] = quantize_weights(p[i], value_scales, lo, hi, w[i]);
  const int8_t* values = keys + args.value_offset;
  const int8_t* next_values = next ? next + args.value_offset : nullptr;
  uint32_t d = 0;
  for (; d + kQueryVectors * kLanes <= args.value_stride; d += kQueryVectors * kLanes)
    mix_values_int8<kQueries, kQueryVectors>(args, w, step, values, next_values, lo, hi, d, state, first);
  for (; d < args.value_stride; d += kLanes)
    mix_values_int8<kQueries, 1>(args, w, step, values, next_values, lo, hi, d, state, first);
}

}  // namespace
}  // namespace polygraft::PG_ISA
