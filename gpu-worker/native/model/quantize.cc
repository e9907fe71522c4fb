#include "model/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/error.h"
#include "model/half.h"
#include "model/loader.h"
#include "model/parallel_for.h"

// The affine search works on vectors of four floats, a language extension of gcc and clang: one SSE2 or NEON register,
// so no instruction set needs a version of its own. (Wider vectors in functions that are inlined into an AVX2 one are
// taken apart by gcc before it inlines.) Sums run in the four lanes and are added up in one order, and contraction is
// off: every machine gets the same codes.

namespace polygraft {
namespace {

#define PG_INLINE [[gnu::always_inline]] inline

constexpr uint32_t kLanes = 4;
constexpr uint32_t kMaxGroup = 128;
typedef float Floats __attribute__((vector_size(kLanes * sizeof(float))));

float round_to_fp16(float v) { return fp16_to_float(float_to_fp16(v)); }

// rint for 0 <= v < 2^22, in two additions that every instruction set has.
PG_INLINE float round_small(float v) { return (v + 12582912.0f) - 12582912.0f; }

// One group in whole vectors. Lanes beyond the group's end hold its last weight and do not count.
struct Group {
  Floats x[kMaxGroup / kLanes];
  Floats counts[kMaxGroup / kLanes];  // 1, or 0 beyond the end
  uint32_t n = 0;                     // weights
  uint32_t vectors = 0;

  void load(const float* from, uint32_t count) {
    n = count;
    vectors = (n + kLanes - 1) / kLanes;
    for (uint32_t i = 0; i < vectors * kLanes; ++i) {
      x[i / kLanes][i % kLanes] = from[i < n ? i : n - 1];
      counts[i / kLanes][i % kLanes] = i < n ? 1.0f : 0.0f;
    }
  }
};

// An affine quantizer of one group: w = scale * q + minimum, both exactly representable in fp16.
struct Affine {
  float scale = 0, minimum = 0;
};

Affine stored(float scale, float minimum) { return {round_to_fp16(scale), round_to_fp16(minimum)}; }

// Codes 0..15, as floats.
PG_INLINE void affine_codes(const Floats& x, const Affine& a, Floats& q) {
  const Floats zero = {}, most = zero + 15.0f;
  const float inverse = a.scale > 0 ? 1.0f / a.scale : 0.0f;
  Floats v = (x - a.minimum) * inverse;
  v = v > zero ? v : zero;
  v = v < most ? v : most;
  q = (v + 12582912.0f) - 12582912.0f;
}

PG_INLINE float sum_lanes(const Floats& lane) { return (lane[0] + lane[2]) + (lane[1] + lane[3]); }

PG_INLINE float affine_error(const Group& group, const Affine& a) {
  Floats sum = {};
  for (uint32_t i = 0; i < group.vectors; ++i) {
    Floats q;
    affine_codes(group.x[i], a, q);
    const Floats e = group.x[i] - (q * a.scale + a.minimum);
    sum += e * e * group.counts[i];
  }
  return sum_lanes(sum);
}

// The scale and minimum that fit the codes of `a` best: linear regression of x on q.
PG_INLINE Affine refit(const Group& group, const Affine& a) {
  Floats q1 = {}, q2 = {}, x1 = {}, xq = {};
  for (uint32_t i = 0; i < group.vectors; ++i) {
    Floats q;
    affine_codes(group.x[i], a, q);
    q *= group.counts[i];
    q1 += q;
    q2 += q * q;
    x1 += group.x[i] * group.counts[i];
    xq += group.x[i] * q;
  }
  const double count = group.n, sq = sum_lanes(q1), sqq = sum_lanes(q2), sx = sum_lanes(x1), sxq = sum_lanes(xq);
  const double spread = count * sqq - sq * sq;
  const double slope = spread > 0 ? (count * sxq - sq * sx) / spread : 0;
  if (!(slope > 0)) return a;
  return stored(static_cast<float>(slope), static_cast<float>((sx - slope * sq) / count));
}

// Clips each end of the range by 0 to 18 %: a 5 x 5 grid. Clipping outliers makes the steps finer for all others. Then
// up to three rounds of regression, as long as they help. Against the plain range this takes a Gaussian's relative
// error from .090 to .082 at groups of 64, against the grid alone from .084.
PG_INLINE Affine search_affine(const Group& group) {
  constexpr int kSteps = 5;
  constexpr float kStep = 0.045f;
  constexpr int kRefits = 3;
  Floats lows = group.x[0], highs = group.x[0];
  for (uint32_t i = 1; i < group.vectors; ++i) {
    lows = group.x[i] < lows ? group.x[i] : lows;
    highs = group.x[i] > highs ? group.x[i] : highs;
  }
  float low = lows[0], high = highs[0];
  for (uint32_t l = 1; l < kLanes; ++l) {
    low = lows[l] < low ? lows[l] : low;
    high = highs[l] > high ? highs[l] : high;
  }
  const float width = high - low;
  Affine best = stored(width / 15.0f, low);
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

PG_INLINE float largest_magnitude(const float* x, uint32_t n) {
  float largest = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const float magnitude = x[i] < 0 ? -x[i] : x[i];
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

// The index of the table entry nearest to `v`; a tie goes to the lower one.
uint8_t nearest_nf4(float v) {
  uint8_t code = 0;
  for (int i = 0; i < 15; ++i) code += v > (kNf4Table[i] + kNf4Table[i + 1]) * 0.5f ? 1 : 0;
  return code;
}

// One row; `nibbles` receives a code of 4 bits a weight, before packing.
void quantize_row(const float* x, uint32_t row, WeightMatrix& out, uint8_t* nibbles) {
  Group group;
  for (uint32_t g = 0; g < out.groups(); ++g) {
    const uint32_t first = g * out.group;
    const uint32_t n = out.k - first < out.group ? out.k - first : out.group;
    const size_t at = static_cast<size_t>(row) * out.groups() + g;
    const float* from = x + first;
    if (out.scheme == Scheme::kW4) {
      group.load(from, n);
      const Affine best = search_affine(group);
      for (uint32_t i = 0; i < group.vectors; ++i) {
        Floats q;
        affine_codes(group.x[i], best, q);
        for (uint32_t l = 0; l < kLanes && i * kLanes + l < n; ++l)
          nibbles[first + i * kLanes + l] = static_cast<uint8_t>(q[l]);
      }
      out.scales[at] = float_to_fp16(best.scale);
      out.minimums[at] = float_to_fp16(best.minimum);
    } else if (out.scheme == Scheme::kNf4) {
      // As in QLoRA, without a search: adapters trained on an NF4 base were fitted to these very weights.
      const float scale = round_to_fp16(largest_magnitude(from, n));
      const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
      for (uint32_t i = 0; i < n; ++i) nibbles[first + i] = nearest_nf4(from[i] * inverse);
      out.scales[at] = float_to_fp16(scale);
    } else {  // kW8
      const float scale = round_to_fp16(largest_magnitude(from, n) / 127.0f);
      const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
      int8_t* to = reinterpret_cast<int8_t*>(out.codes.data()) + static_cast<size_t>(row) * out.k + first;
      for (uint32_t i = 0; i < n; ++i) {
        float v = from[i] * inverse;
        v = v < 127.0f ? v : 127.0f;
        v = v > -127.0f ? v : -127.0f;
        to[i] = static_cast<int8_t>(round_small(v + 128.0f) - 128.0f);
      }
      out.scales[at] = float_to_fp16(scale);
    }
  }
  if (out.scheme == Scheme::kW8) return;
  const size_t row_bytes = (static_cast<size_t>(out.k) + 1) / 2;
  uint8_t* to = out.codes.data() + row * row_bytes;
  for (uint32_t i = 0; i + 1 < out.k; i += 2) to[i / 2] = static_cast<uint8_t>(nibbles[i] | nibbles[i + 1] << 4);
  if (out.k % 2 != 0) to[row_bytes - 1] = nibbles[out.k - 1];
}

}  // namespace

WeightMatrix allocate_matrix(uint32_t n, uint32_t k, Scheme scheme, uint32_t group) {
  WeightMatrix out;
  out.scheme = scheme;
  out.n = n;
  out.k = k;
  const size_t rows = n;
  if (scheme == Scheme::kF32) {
    out.values.resize(rows * k);
    return out;
  }
  if (group == 0 || group > kMaxGroup)
    throw Error(PG_INVALID_ARGUMENT, "group", "a group of " + std::to_string(group) + " weights; 1 to 128 are served");
  out.group = group;
  out.codes.resize(rows * (scheme == Scheme::kW8 ? k : (static_cast<size_t>(k) + 1) / 2));
  out.scales.resize(rows * out.groups());
  if (scheme == Scheme::kW4) out.minimums.resize(rows * out.groups());
  return out;
}

void quantize_rows(const float* values, uint32_t first_row, uint32_t rows, WeightMatrix& out) {
  if (out.scheme == Scheme::kF32) {
    std::memcpy(out.values.data() + static_cast<size_t>(first_row) * out.k, values,
                static_cast<size_t>(rows) * out.k * sizeof(float));
    return;
  }
  std::vector<uint8_t> nibbles(out.k);
  for (uint32_t r = 0; r < rows; ++r)
    quantize_row(values + static_cast<size_t>(r) * out.k, first_row + r, out, nibbles.data());
}

WeightMatrix quantize(const float* values, uint32_t n, uint32_t k, Scheme scheme, uint32_t group) {
  WeightMatrix out = allocate_matrix(n, k, scheme, group);
  parallel_for(n, 64, [&](uint64_t first, uint64_t last) {
    quantize_rows(values + first * k, static_cast<uint32_t>(first), static_cast<uint32_t>(last - first), out);
  });
  return out;
}

}  // namespace polygraft
