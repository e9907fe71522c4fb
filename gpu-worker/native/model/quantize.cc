#include "model/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/affine_search.h"
#include "model/error.h"
#include "model/half.h"
#include "model/loader.h"
#include "model/parallel_for.h"

namespace polygraft {
namespace {

// rint for 0 <= v < 2^22, in two additions that every instruction set has.
PG_INLINE float round_small(float v) { return (v + 12582912.0f) - 12582912.0f; }

PG_INLINE float largest_magnitude(const float* x, uint32_t n) {
  float largest = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const float magnitude = x[i] < 0 ? -x[i] : x[i];
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

Affine affine_of(const float* x, uint32_t n, const Group& group, Grid grid) {
  switch (grid) {
    case Grid::kSearched: return search_affine(group);
    case Grid::kPlain: return plain_affine(group);
    case Grid::kSymmetric: return symmetric_affine(x, n);
  }
  return {};
}

}  // namespace

void pack_nibbles(const uint8_t* nibbles, uint32_t row, WeightMatrix& out) {
  const size_t row_bytes = (static_cast<size_t>(out.k) + 1) / 2;
  uint8_t* to = out.codes.data() + row * row_bytes;
  for (uint32_t i = 0; i + 1 < out.k; i += 2) to[i / 2] = static_cast<uint8_t>(nibbles[i] | nibbles[i + 1] << 4);
  if (out.k % 2 != 0) to[row_bytes - 1] = nibbles[out.k - 1];
}

uint8_t nearest_nf4(float v) {
  uint8_t code = 0;
  for (int i = 0; i < 15; ++i) code += v > (kNf4Table[i] + kNf4Table[i + 1]) * 0.5f ? 1 : 0;
  return code;
}

namespace {

// One row; `nibbles` receives a code of 4 bits a weight, before packing.
void quantize_row(const float* x, uint32_t row, Grid grid, WeightMatrix& out, uint8_t* nibbles) {
  Group group;
  for (uint32_t g = 0; g < out.groups(); ++g) {
    const uint32_t first = g * out.group;
    const uint32_t n = out.k - first < out.group ? out.k - first : out.group;
    const size_t at = static_cast<size_t>(row) * out.groups() + g;
    const float* from = x + first;
    if (out.scheme == Scheme::kW4) {
      group.load(from, n);
      const Affine best = affine_of(from, n, group, grid);
      for (uint32_t i = 0; i < group.vectors; ++i) {
        Floats q;
        affine_codes(group.x[i], best, q);
        for (uint32_t l = 0; l < kSearchLanes && i * kSearchLanes + l < n; ++l)
          nibbles[first + i * kSearchLanes + l] = static_cast<uint8_t>(q[l]);
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
  if (out.scheme != Scheme::kW8) pack_nibbles(nibbles, row, out);
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

void quantize_rows(const float* values, uint32_t first_row, uint32_t rows, WeightMatrix& out, Grid grid) {
  if (out.scheme == Scheme::kF32) {
    std::memcpy(out.values.data() + static_cast<size_t>(first_row) * out.k, values,
                static_cast<size_t>(rows) * out.k * sizeof(float));
    return;
  }
  std::vector<uint8_t> nibbles(out.k);
  for (uint32_t r = 0; r < rows; ++r)
    quantize_row(values + static_cast<size_t>(r) * out.k, first_row + r, grid, out, nibbles.data());
}

WeightMatrix quantize(const float* values, uint32_t n, uint32_t k, Scheme scheme, uint32_t group, Grid grid) {
  WeightMatrix out = allocate_matrix(n, k, scheme, group);
  parallel_for(n, 64, [&](uint64_t first, uint64_t last) {
    quantize_rows(values + first * k, static_cast<uint32_t>(first), static_cast<uint32_t>(last - first), out, grid);
  });
  return out;
}

}  // namespace polygraft
