// Online softmax: the running state of the queries of a ticket, and the weights of one block's tokens.
#pragma once

#include "cpu/kernels/exp.h"

namespace polygraft::PG_ISA {
namespace {

inline constexpr uint32_t kBlockTokens = 64;

// Asks for `count` elements from next[at]; the second cache holds them until their block's turn.
template <class Element>
PG_INLINE void prefetch_row(const Element* next, size_t at, uint32_t count) {
  if (!next) return;
  for (uint32_t i = 0; i < count; i += 64 / sizeof(Element)) __builtin_prefetch(next + at + i, 0, 2);
}

// Running state of the ticket's queries.
struct AttentionState {
  float maximum[kMaxQueries];
  float sum[kMaxQueries];
  alignas(64) float o[kMaxQueries][kMaxHeadDim];
};

// Scores to weights exp(score - maximum), where tokens outside lo..hi-1 weigh nothing, and the state to the new maximum.
template <int kQueries>
PG_INLINE void weigh_tokens(const AttentionTile& args, uint32_t lo, uint32_t hi, float (*p)[kBlockTokens],
                            AttentionState& state, uint32_t first) {
  const float none = -__builtin_inff();
  for (int i = 0; i < kQueries; ++i) {
    for (uint32_t t = 0; t < lo; ++t) p[i][t] = none;
    for (uint32_t t = hi; t < kBlockTokens; ++t) p[i][t] = none;
    f32x16 score[4];
#pragma GCC unroll 4
    for (uint32_t v = 0; v < 4; ++v) score[v] = load(p[i] + v * kLanes);
    const float old_maximum = state.maximum[first + i];
    const float block_maximum = reduce_max(max(max(score[0], score[1]), max(score[2], score[3])));
    const float maximum = old_maximum > block_maximum ? old_maximum : block_maximum;
    f32x16 sum = zero();
#pragma GCC unroll 4
    for (uint32_t v = 0; v < 4; ++v) {
      score[v] = exp(sub(score[v], set1(maximum)));
      store(p[i] + v * kLanes, score[v]);
    }
#pragma GCC unroll 4
    for (uint32_t v = 0; v < 4; ++v) sum = add(sum, score[v]);
    float factor = 1.0f;  // what exp(0) is: an unchanged maximum changes no bit
    if (maximum != old_maximum) {
      const f32x16 correction = exp(sub(set1(old_maximum), set1(maximum)));
      alignas(64) float lanes[kLanes];
      store(lanes, correction);
      factor = lanes[0];
      for (uint32_t d = 0; d < args.value_stride; d += kLanes)
        store(state.o[first + i] + d, mul(load(state.o[first + i] + d), correction));
    }
    state.maximum[first + i] = maximum;
    state.sum[first + i] = __builtin_fmaf(state.sum[first + i], factor, reduce_add(sum));
  }
}

}  // namespace
}  // namespace polygraft::PG_ISA
