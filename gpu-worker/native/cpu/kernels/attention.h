// Causal attention over 64-token blocks with online softmax. A query's sums follow its own tokens in ascending order,
// whatever queries share the tile, so a prompt token and a decoded token at the same position compute the same bits.
// Queries of one KV head share its loads: the heads of a GQA group, and rows of a prompt.
#pragma once

#include "cpu/kernels/exp.h"

namespace polygraft::PG_ISA {
namespace {

inline constexpr uint32_t kBlockTokens = 64;

PG_INLINE f32x16 load_kv(const float* p) { return load(p); }
PG_INLINE f32x16 load_kv(const uint16_t* p) { return load_f16(p); }

// Running state of the ticket's queries.
struct AttentionState {
  float maximum[kMaxQueries];
  float sum[kMaxQueries];
  alignas(64) float o[kMaxQueries][kMaxHeadDim];
};

// Adds tokens lo..hi-1 of one block to kQueries queries whose vectors start at q[i] and states at index `first`.
template <int kQueries, class Element>
void attend_block(const AttentionTile& args, const float* const* q, const Element* keys, const Element* values,
                  uint32_t lo, uint32_t hi, AttentionState& state, uint32_t first) {
  alignas(64) float p[kQueries][kBlockTokens];
  const f32x16 scale = set1(args.scale);
  const uint32_t first_vector = lo / kLanes * kLanes;
  for (uint32_t t = first_vector; t < hi; t += kLanes) {
    f32x16 score[kQueries];
#pragma GCC unroll 8
    for (int i = 0; i < kQueries; ++i) score[i] = zero();
    for (uint32_t d = 0; d < args.head_dim; ++d) {
      const f32x16 k = load_kv(keys + d * kBlockTokens + t);
#pragma GCC unroll 8
      for (int i = 0; i < kQueries; ++i) score[i] = fma(set1(q[i][d]), k, score[i]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kQueries; ++i) store(p[i] + t, mul(score[i], scale));
  }
  const float none = -__builtin_inff();
  for (int i = 0; i < kQueries; ++i) {
    for (uint32_t t = 0; t < lo; ++t) p[i][t] = none;
    for (uint32_t t = hi; t < kBlockTokens; ++t) p[i][t] = none;
    f32x16 score[4];
    for (uint32_t v = 0; v < 4; ++v) score[v] = load(p[i] + v * kLanes);
    const float old_maximum = state.maximum[first + i];
    const float block_maximum = reduce_max(max(max(score[0], score[1]), max(score[2], score[3])));
    const float maximum = old_maximum > block_maximum ? old_maximum : block_maximum;
    f32x16 sum = zero();
    for (uint32_t v = 0; v < 4; ++v) {
      const f32x16 weight = exp(sub(score[v], set1(maximum)));
      store(p[i] + v * kLanes, weight);
      sum = add(sum, weight);
    }
    const f32x16 correction = exp(sub(set1(old_maximum), set1(maximum)));
    alignas(64) float factor[kLanes];
    store(factor, correction);
    state.maximum[first + i] = maximum;
    state.sum[first + i] = __builtin_fmaf(state.sum[first + i], factor[0], reduce_add(sum));
    for (uint32_t d = 0; d < args.value_stride; d += kLanes)
      store(state.o[first + i] + d, mul(load(state.o[first + i] + d), correction));
  }
  for (uint32_t d = 0; d < args.value_stride; d += kLanes) {
    f32x16 o[kQueries];
#pragma GCC unroll 8
    for (int i = 0; i < kQueries; ++i) o[i] = load(state.o[first + i] + d);
    for (uint32_t t = lo; t < hi; ++t) {
      const f32x16 v = load_kv(values + static_cast<size_t>(t) * args.value_stride + d);
#pragma GCC unroll 8
      for (int i = 0; i < kQueries; ++i) o[i] = fma(set1(p[i][t]), v, o[i]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kQueries; ++i) store(state.o[first + i] + d, o[i]);
  }
}

// Visible tokens of the query at `position` within the block that starts at `start`: lo..hi-1, none if lo >= hi.
struct TokenRange {
  uint32_t lo, hi;
};
PG_INLINE TokenRange visible(const AttentionTile& args, uint32_t position, uint32_t start) {
  const uint32_t begin = args.window && position + 1 > args.window ? position + 1 - args.window : 0;
  const uint32_t end = position + 1;
  if (end <= start || begin >= start + kBlockTokens) return {0, 0};
  return {begin > start ? begin - start : 0, end - start < kBlockTokens ? end - start : kBlockTokens};
}

template <class Element>
PG_INLINE void attention_tile_as(const AttentionTile& args) {
  AttentionState state;
  const uint32_t queries = args.rows * args.heads;
  const float* q[kMaxQueries];
  for (uint32_t i = 0; i < queries; ++i) {
    q[i] = args.q + i / args.heads * args.q_stride + i % args.heads * args.head_dim;
    state.maximum[i] = -__builtin_inff();
    state.sum[i] = 0.0f;
    for (uint32_t d = 0; d < args.value_stride; d += kLanes) store(state.o[i] + d, zero());
  }
  const uint32_t last_position = args.first_position + args.rows - 1;
  const uint32_t oldest =
      args.window && args.first_position + 1 > args.window ? args.first_position + 1 - args.window : 0;
  for (uint32_t b = oldest / kBlockTokens; b <= last_position / kBlockTokens; ++b) {
    const Element* keys = static_cast<const Element*>(args.kv) + args.blocks[b] * args.block_stride;
    const Element* values = keys + args.value_offset;
    for (uint32_t row = 0; row < args.rows;) {
      const TokenRange range = visible(args, args.first_position + row, b * kBlockTokens);
      uint32_t end = row + 1;  // rows that see the same tokens of this block go together
      for (; end < args.rows; ++end) {
        const TokenRange next = visible(args, args.first_position + end, b * kBlockTokens);
        if (next.lo != range.lo || next.hi != range.hi) break;
      }
      uint32_t i = row * args.heads;
      const uint32_t stop = end * args.heads;
      row = end;
      if (range.lo >= range.hi) continue;
      for (; i + kQueryRows <= stop; i += kQueryRows)
        attend_block<kQueryRows>(args, q + i, keys, values, range.lo, range.hi, state, i);
      if constexpr (kQueryRows > 1) {
        static_assert(kQueryRows <= 4);
        switch (stop - i) {
          case 3: attend_block<3>(args, q + i, keys, values, range.lo, range.hi, state, i); break;
          case 2: attend_block<2>(args, q + i, keys, values, range.lo, range.hi, state, i); break;
          case 1: attend_block<1>(args, q + i, keys, values, range.lo, range.hi, state, i); break;
          default: break;
        }
      }
    }
  }
  for (uint32_t i = 0; i < queries; ++i) {
    float* y = args.y + i / args.heads * args.y_stride + i % args.heads * args.head_dim;
    for (uint32_t d = 0; d < args.head_dim; d += kLanes)
      store(y + d, div(load(state.o[i] + d), set1(state.sum[i])), args.head_dim - d);
  }
}

void attention_tile(const AttentionTile& args) {
  if (args.kv_f32)
    attention_tile_as<float>(args);
  else
    attention_tile_as<uint16_t>(args);
}

}  // namespace
}  // namespace polygraft::PG_ISA
