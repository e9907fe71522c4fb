// Causal attention over 64-token blocks with online softmax. A query's sums follow its own tokens in ascending order,
// whatever queries share the tile, so a prompt token and a decoded token at the same position compute the same bits.
// Queries of one KV head share its loads: the heads of a GQA group, and rows of a prompt.
#pragma once

#include "cpu/kernels/attention_int8.h"

namespace polygraft::PG_ISA {
namespace {

PG_INLINE f32x16 load_kv(const float* p) { return load(p); }
PG_INLINE f32x16 load_kv(const uint16_t* p) { return load_f16(p); }

// p[i][t..] = scale q_i . K for kVectors x 16 tokens from t. Keys are [head_dim][64]: a vector of them serves all queries.
template <int kQueries, int kVectors, class Element>
PG_INLINE void score_tokens(const AttentionTile& args, const float* const* q, const Element* keys, const Element* next,
                            uint32_t t, float (*p)[kBlockTokens]) {
  f32x16 score[kQueries][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kQueries; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) score[i][v] = zero();
  for (uint32_t d = 0; d < args.head_dim; ++d) {
    f32x16 k[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) k[v] = load_kv(keys + d * kBlockTokens + t + v * kLanes);
    prefetch_row(next, d * kBlockTokens, kBlockTokens);
#pragma GCC unroll 8
    for (int i = 0; i < kQueries; ++i) {
      const f32x16 element = set1(q[i][d]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) score[i][v] = fma(element, k[v], score[i][v]);
    }
  }
  const f32x16 scale = set1(args.scale);
#pragma GCC unroll 8
  for (int i = 0; i < kQueries; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(p[i] + t + v * kLanes, mul(score[i][v], scale));
}

// o_i[d..] += p_i . V over tokens lo..hi-1, for kVectors x 16 elements of the head from d. Values are [64][value_stride].
template <int kQueries, int kVectors, class Element>
PG_INLINE void mix_values(const AttentionTile& args, const float (*p)[kBlockTokens], const Element* values,
                          const Element* next, uint32_t lo, uint32_t hi, uint32_t d, AttentionState& state,
                          uint32_t first) {
  f32x16 o[kQueries][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kQueries; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) o[i][v] = load(state.o[first + i] + d + v * kLanes);
  for (uint32_t t = lo; t < hi; ++t) {
    f32x16 value[kVectors];
    const size_t at = static_cast<size_t>(t) * args.value_stride + d;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) value[v] = load_kv(values + at + v * kLanes);
    prefetch_row(next, at, kVectors * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kQueries; ++i) {
      const f32x16 weight = set1(p[i][t]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) o[i][v] = fma(weight, value[v], o[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kQueries; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(state.o[first + i] + d + v * kLanes, o[i][v]);
}

// Adds tokens lo..hi-1 of one block to kQueries queries whose vectors start at q[i] and states at index `first`.
// `next`: the keys of the block to fetch meanwhile, or null.
template <int kQueries, class Element>
void attend_block(const AttentionTile& args, const float* const* q, const Element* keys, const Element* next,
                  uint32_t lo, uint32_t hi, AttentionState& state, uint32_t first) {
  alignas(64) float p[kQueries][kBlockTokens];
  uint32_t t = lo / kLanes * kLanes;
  for (; t + kQueryVectors * kLanes <= kBlockTokens && t + (kQueryVectors - 1) * kLanes < hi; t += kQueryVectors * kLanes)
    score_tokens<kQueries, kQueryVectors>(args, q, keys, next, t, p);
  for (; t < hi; t += kLanes) score_tokens<kQueries, 1>(args, q, keys, next, t, p);
  weigh_tokens<kQueries>(args, lo, hi, p, state, first);
  const Element* values = keys + args.value_offset;
  const Element* next_values = next ? next + args.value_offset : nullptr;
  uint32_t d = 0;
  for (; d + kQueryVectors * kLanes <= args.value_stride; d += kQueryVectors * kLanes)
    mix_values<kQueries, kQueryVectors>(args, p, values, next_values, lo, hi, d, state, first);
  for (; d < args.value_stride; d += kLanes)
    mix_values<kQueries, 1>(args, p, values, next_values, lo, hi, d, state, first);
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

// `attend` adds tokens lo..hi-1 of a block to some queries: attend(Count<queries>, keys, next, lo, hi, first query).
template <class Element, class Attend>
PG_INLINE void attend_blocks(const AttentionTile& args, AttentionState& state, const Attend& attend) {
  const uint32_t queries = args.rows * args.heads;
  for (uint32_t i = 0; i < queries; ++i) {
    state.maximum[i] = -__builtin_inff();
    state.sum[i] = 0.0f;
    for (uint32_t d = 0; d < args.value_stride; d += kLanes) store(state.o[i] + d, zero());
  }
  const uint32_t last_position = args.first_position + args.rows - 1;
  const uint32_t oldest =
      args.window && args.first_position + 1 > args.window ? args.first_position + 1 - args.window : 0;
  for (uint32_t b = oldest / kBlockTokens; b <= last_position / kBlockTokens; ++b) {
    const Element* keys = static_cast<const Element*>(args.kv) + args.blocks[b] * args.block_stride;
    const Element* next =
        b < last_position / kBlockTokens ? static_cast<const Element*>(args.kv) + args.blocks[b + 1] * args.block_stride
                                         : static_cast<const Element*>(args.following);
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
      for (; i + kQueryRows <= stop; i += kQueryRows, next = nullptr)
        attend(Count<kQueryRows>{}, keys, next, range.lo, range.hi, i);
      if constexpr (kQueryRows > 1) {
        static_assert(kQueryRows <= 4);
        switch (stop - i) {
          case 3: attend(Count<3>{}, keys, next, range.lo, range.hi, i); break;
          case 2: attend(Count<2>{}, keys, next, range.lo, range.hi, i); break;
          case 1: attend(Count<1>{}, keys, next, range.lo, range.hi, i); break;
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

PG_INLINE const float* query(const AttentionTile& args, uint32_t i) {
  return args.q + i / args.heads * args.q_stride + i % args.heads * args.head_dim;
}

template <class Element>
PG_INLINE void attention_tile_as(const AttentionTile& args) {
  AttentionState state;
  const float* q[kMaxQueries];
  for (uint32_t i = 0; i < args.rows * args.heads; ++i) q[i] = query(args, i);
  attend_blocks<Element>(args, state, [&]<int kQueries>(Count<kQueries>, const Element* keys, const Element* next,
                                                        uint32_t lo, uint32_t hi, uint32_t first) {
    attend_block<kQueries>(args, q + first, keys, next, lo, hi, state, first);
  });
}

PG_INLINE void attention_tile_int8(const AttentionTile& args) {
  AttentionState state;
  Int8Queries queries;
  QuantizedHead head;
  for (uint32_t i = 0; i < args.rows * args.heads; ++i) {
    quantize_head(query(args, i), args.head_dim, head);
    __builtin_memcpy(queries.codes[i], head.codes, key_slabs(args.head_dim) * kKeySlab);
    queries.scale[i] = head.scale;
    queries.sum[i] = head.sum;
  }
  attend_blocks<int8_t>(args, state, [&]<int kQueries>(Count<kQueries>, const int8_t* keys, const int8_t* next,
                                                       uint32_t lo, uint32_t hi, uint32_t first) {
    attend_block<kQueries>(args, queries, keys, next, lo, hi, state, first);
  });
}

void attention_tile(const AttentionTile& args) {
  switch (args.kv_type) {
    case KvType::kF32: return attention_tile_as<float>(args);
    case KvType::kF16: return attention_tile_as<uint16_t>(args);
    case KvType::kInt8: return attention_tile_int8(args);
  }
}

}  // namespace
}  // namespace polygraft::PG_ISA
