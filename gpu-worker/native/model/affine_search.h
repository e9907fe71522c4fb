// Affine quantizers of one group of weights, w = scale * q + minimum with q in 0..15, and the search for a good one.
//
// The search works on vectors of four floats, a language extension of gcc and clang: one SSE2 or NEON register, so no
// instruction set needs a version of its own. (Wider vectors in functions that are inlined into an AVX2 one are taken
// apart by gcc before it inlines.) Sums run in the four lanes and are added up in one order, and contraction is off:
// every machine gets the same codes.
#pragma once

#include <cstdint>

#include "model/half.h"

namespace polygraft {

#define PG_INLINE [[gnu::always_inline]] inline

constexpr uint32_t kSearchLanes = 4;
constexpr uint32_t kMaxGroup = 128;
// The largest magnitude that every scheme can hold: scales and minimums are fp16.
inline constexpr float kMaxQuantizable = 60000.0f;
typedef float Floats __attribute__((vector_size(kSearchLanes * sizeof(float))));

inline float round_to_fp16(float v) { return fp16_to_float(float_to_fp16(v)); }

PG_INLINE float sum_lanes(const Floats& lane) { return (lane[0] + lane[2]) + (lane[1] + lane[3]); }

// One group in whole vectors. Lanes beyond the group's end hold its last weight and do not count.
struct Group {
  Floats x[kMaxGroup / kSearchLanes];
  Floats importance[kMaxGroup / kSearchLanes];  // of each squared error; 0 beyond the end
  uint32_t n = 0;                               // weights
  uint32_t vectors = 0;

  // `weigh`: the importance of each weight, or null: 1.
  void load(const float* from, uint32_t count, const float* weigh = nullptr) {
    n = count;
    vectors = (n + kSearchLanes - 1) / kSearchLanes;
    for (uint32_t i = 0; i < vectors * kSearchLanes; ++i) {
      x[i / kSearchLanes][i % kSearchLanes] = from[i < n ? i : n - 1];
      importance[i / kSearchLanes][i % kSearchLanes] = i >= n ? 0.0f : weigh != nullptr ? weigh[i] : 1.0f;
    }
  }
};

// Scale and minimum, both exactly representable in fp16.
struct Affine {
  float scale = 0, minimum = 0;
};

inline Affine stored(float scale, float minimum) { return {round_to_fp16(scale), round_to_fp16(minimum)}; }

// The nearest codes, 0..15, as floats. Scales may be negative.
PG_INLINE void affine_codes(const Floats& x, const Affine& a, Floats& q) {
  const Floats zero = {}, most = zero + 15.0f;
  const float inverse = a.scale != 0 ? 1.0f / a.scale : 0.0f;
  Floats v = (x - a.minimum) * inverse;
  v = v > zero ? v : zero;
  v = v < most ? v : most;
  q = (v + 12582912.0f) - 12582912.0f;  // rint for 0 <= v < 2^22, in two additions that every instruction set has
}

PG_INLINE float affine_error(const Group& group, const Affine& a) {
  Floats sum = {};
  for (uint32_t i = 0; i < group.vectors; ++i) {
    Floats q;
    affine_codes(group.x[i], a, q);
    const Floats e = group.x[i] - (q * a.scale + a.minimum);
    sum += e * e * group.importance[i];
  }
  return sum_lanes(sum);
}

// The scale and minimum that fit the codes of `a` best: weighted linear regression of x on q.
PG_INLINE Affine refit(const Group& group, const Affine& a) {
  Floats weight = {}, q1 = {}, q2 = {}, x1 = {}, xq = {};
  for (uint32_t i = 0; i < group.vectors; ++i) {
    Floats q;
    affine_codes(group.x[i], a, q);
    const Floats counted = q * group.importance[i];
    weight += group.importance[i];
    q1 += counted;
    q2 += counted * q;
    x1 += group.x[i] * group.importance[i];
    xq += group.x[i] * counted;
  }
  const double count = sum_lanes(weight);
  const double sq = sum_lanes(q1), sqq = sum_lanes(q2), sx = sum_lanes(x1), sxq = sum_lanes(xq);
  const double spread = count * sqq - sq * sq;
  const double slope = spread > 0 ? (count * sxq - sq * sx) / spread : 0;
  if (slope == 0) return a;
  return stored(static_cast<float>(slope), static_cast<float>((sx - slope * sq) / count));
}

struct Range {
  float low = 0, high = 0;
};

PG_INLINE Range range_of(const Group& group) {
  Floats lows = group.x[0], highs = group.x[0];
  for (uint32_t i = 1; i < group.vectors; ++i) {
    lows = group.x[i] < lows ? group.x[i] : lows;
    highs = group.x[i] > highs ? group.x[i] : highs;
  }
  Range range{lows[0], highs[0]};
  for (uint32_t l = 1; l < kSearchLanes; ++l) {
    range.low = lows[l] < range.low ? lows[l] : range.low;
    range.high = highs[l] > range.high ? highs[l] : range.high;
  }
  return range;
}

// From the smallest to the largest weight.
PG_INLINE Affine plain_affine(const Group& group) {
  const auto [low, high] = range_of(group);
  return stored((high - low) / 15.0f, low);
}

// llama.cpp's Q4_0 (ggml): code 8 is zero, and code 0 the weight of the largest magnitude, the first of equals. The
// scale has the sign that this takes.
PG_INLINE Affine symmetric_affine(const float* x, uint32_t n) {
  float extreme = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const float magnitude = x[i] < 0 ? -x[i] : x[i], most = extreme < 0 ? -extreme : extreme;
    extreme = magnitude > most ? x[i] : extreme;
  }
  const float scale = round_to_fp16(extreme / -8.0f);
  return {scale, -8.0f * scale};
}

// Whether every weight is a sixteenth of a step or less from the grid: what a 4-bit file's values are when they were
// rounded to 16 bits since. Most groups that lie on no such grid are told by their first four weights.
PG_INLINE bool is_on_grid(const Group& group, float minimum, float inverse_scale) {
  for (uint32_t i = 0; i < group.vectors; ++i) {
    const Floats steps = (group.x[i] - minimum) * inverse_scale;
    const Floats off = steps - ((steps + 12582912.0f) - 12582912.0f);
    const auto near = off * off <= 0.0625f * 0.0625f;  // NaN is not
    if (((near[0] & near[1]) & (near[2] & near[3])) == 0) return false;
  }
  return true;
}

// Weights that lie on an evenly spaced grid already keep it, however many of its 16 values they use. The grid starts at
// whichever end of the range fp16 holds better: for Q4_0 that is the weight of the largest magnitude, -8 steps from zero.
PG_INLINE bool find_grid(const Group& group, const Range& range, Affine& found) {
  const float width = range.high - range.low;
  if (!(width > 0)) return false;
  const float inverse = 1.0f / width;
  for (int steps = 1; steps <= 15; ++steps) {
    if (!is_on_grid(group, range.low, static_cast<float>(steps) * inverse)) continue;
    const float scale = width / static_cast<float>(steps);
    if (scale > kMaxQuantizable) continue;
    float least = 0;
    for (int candidate = 0; candidate < 4; ++candidate) {
      const bool upward = candidate % 2 == 0;
      const Affine ends = stored(upward ? scale : -scale, upward ? range.low : range.high);
      const Affine a = candidate < 2 ? ends : refit(group, ends);
      const float error = affine_error(group, a);
      if (candidate > 0 && !(error < least)) continue;
      least = error;
      found = a;
    }
    return is_on_grid(group, found.minimum, 1.0f / found.scale);  // fp16 may hold neither
  }
  return false;
}

// Unless the weights lie on a grid: clips each end of the range by 0 to 18 %, 5 x 5 candidates. Clipping outliers makes the steps finer for all others. Then
// up to three rounds of regression, as long as they help. Against the plain range this takes a Gaussian's relative
// error from .090 to .082 at groups of 64, against the grid alone from .084.
PG_INLINE Affine search_affine(const Group& group) {
  constexpr int kSteps = 5;
  constexpr float kStep = 0.045f;
  constexpr int kRefits = 3;
  const Range range = range_of(group);
  const float low = range.low, width = range.high - low;
  Affine best;
  if (find_grid(group, range, best)) return best;
  best = stored(width / 15.0f, low);
  float best_error = affine_error(group, best);
  for (int from_low = 0; from_low < kSteps; ++from_low)
    for (int from_high = 0; from_high < kSteps; ++from_high) {
      if (from_low + from_high == 0) continue;
      const float clipped = width * (1.0f - kStep * static_cast<float>(from_low + from_high));
      const Affine candidate = stored(clipped / 15.0f, low + width * kStep * static_cast<float>(from_low));
      const float error = affine_error(group, candidate);
      if (error < best_error) {
        best_error = error;
        best = candidate;
      }
    }
  for (int round = 0; round < kRefits; ++round) {
    const Affine candidate = refit(group, best);
    const float error = affine_error(group, candidate);
    if (!(error < best_error)) break;
    best_error = error;
    best = candidate;
  }
  return best;
}

}  // namespace polygraft
