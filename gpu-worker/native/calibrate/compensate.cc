#include "calibrate/compensate.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "model/affine_search.h"
#include "model/parallel_for.h"
#include "model/quantize.h"

namespace polygraft {
namespace {

constexpr uint32_t kRows = 8;  // that share a pass over U
constexpr uint32_t kSampledRows = 128;

// Rows in the middle of being quantized.
struct Rows {
  const float* original;       // [count][k]
  std::vector<float> current;  // the same with what was made up for so far
  std::vector<float> errors;   // [count][k]: original - quantized, where done
  std::vector<uint8_t> codes;  // [count][k]
  uint32_t first = 0, count = 0, k = 0;
};

// Rounds one weight of a group and remembers its error.
struct AffineRounder {
  Affine grid;
  float inverse;
  uint8_t code(float v) const {
    const float q = (v - grid.minimum) * inverse;
    const float bounded = q > 0 ? (q < 15.0f ? q : 15.0f) : 0.0f;
    return static_cast<uint8_t>((bounded + 12582912.0f) - 12582912.0f);
  }
  float value(uint8_t code) const { return grid.scale * static_cast<float>(code) + grid.minimum; }
};
struct Nf4Rounder {
  float scale, inverse;
  uint8_t code(float v) const { return nearest_nf4(v * inverse); }
  float value(uint8_t code) const { return scale * kNf4Table[code]; }
};

// Columns [begin, end) of one row, one by one; each makes the followers within the group make up for it at once.
template <class Rounder>
void round_group(const Rounder& rounder, const Feedback& feedback, Rows& rows, uint32_t row, uint32_t begin,
                 uint32_t end) {
  const size_t at = size_t{row} * rows.k;
  float* const current = rows.current.data() + at;
  for (uint32_t j = begin; j < end; ++j) {
    const uint8_t code = rounder.code(current[j]);
    const float error = rows.original[at + j] - rounder.value(code);
    rows.codes[at + j] = code;
    rows.errors[at + j] = error;
    const float* const u = feedback.u.data() + size_t{j} * rows.k;
    for (uint32_t c = j + 1; c < end; ++c) current[c] += error * u[c];
  }
}

void quantize_group(const Feedback& feedback, Rows& rows, uint32_t row, uint32_t g, WeightMatrix& out) {
  const uint32_t begin = g * out.group, end = std::min(out.k, begin + out.group);
  const float* const from = rows.current.data() + size_t{row} * rows.k + begin;
  const size_t at = size_t{rows.first + row} * out.groups() + g;
  if (out.scheme == Scheme::kW4) {
    Group group;
    group.load(from, end - begin, feedback.importance.data() + begin);
    const Affine grid = search_affine(group);
    out.scales[at] = float_to_fp16(grid.scale);
    out.minimums[at] = float_to_fp16(grid.minimum);
    round_group(AffineRounder{grid, grid.scale != 0 ? 1.0f / grid.scale : 0.0f}, feedback, rows, row, begin, end);
  } else {
    float largest = 0;
    for (uint32_t i = 0; i < end - begin; ++i) largest = std::max(largest, from[i] < 0 ? -from[i] : from[i]);
    const float scale = round_to_fp16(largest);
    out.scales[at] = float_to_fp16(scale);
    round_group(Nf4Rounder{scale, scale > 0 ? 1.0f / scale : 0.0f}, feedback, rows, row, begin, end);
  }
}

// Columns from `end` on make up for the errors of columns [begin, end): for each, errors in ascending order.
void pass_on(const Feedback& feedback, Rows& rows, uint32_t begin, uint32_t end) {
  constexpr uint32_t kStrip = 512;  // columns whose sums stay in the first cache
  for (uint32_t first = end; first < rows.k; first += kStrip) {
    const uint32_t last = std::min(rows.k, first + kStrip);
    for (uint32_t j = begin; j < end; ++j) {
      const float* const u = feedback.u.data() + size_t{j} * rows.k;
      for (uint32_t row = 0; row < rows.count; ++row) {
        const float error = rows.errors[size_t{row} * rows.k + j];
        float* const current = rows.current.data() + size_t{row} * rows.k;
        for (uint32_t c = first; c < last; ++c) current[c] += error * u[c];
      }
    }
  }
}

}  // namespace

void quantize_with_feedback(const float* values, const Feedback& feedback, WeightMatrix& out) {
  parallel_for(out.n, kRows, [&](uint64_t first, uint64_t last) {
    Rows rows;
    rows.original = values + first * out.k;
    rows.first = static_cast<uint32_t>(first);
    rows.count = static_cast<uint32_t>(last - first);
    rows.k = out.k;
    rows.current.assign(rows.original, rows.original + size_t{rows.count} * out.k);
    rows.errors.resize(rows.current.size());
    rows.codes.resize(rows.current.size());
    for (uint32_t g = 0; g < out.groups(); ++g) {
      for (uint32_t row = 0; row < rows.count; ++row) quantize_group(feedback, rows, row, g, out);
      pass_on(feedback, rows, g * out.group, std::min(out.k, (g + 1) * out.group));
    }
    for (uint32_t row = 0; row < rows.count; ++row)
      pack_nibbles(rows.codes.data() + size_t{row} * out.k, rows.first + row, out);
  });
}

namespace {

typedef double Two __attribute__((vector_size(16)));

constexpr uint32_t kTogether = 8;  // rows that share a pass over H

// h . x over columns (i, k), in four sums side by side that are added up in one order.
double upper_product(const double* h, const double* x, uint32_t i, uint32_t k) {
  Two even = {}, odd = {};
  uint32_t j = i + 1;
  for (; j + 4 <= k; j += 4) {
    Two a[2], b[2];
    std::memcpy(a, h + j, sizeof(a));
    std::memcpy(b, x + j, sizeof(b));
    even += a[0] * b[0];
    odd += a[1] * b[1];
  }
  double sum = (even[0] + odd[0]) + (even[1] + odd[1]);
  for (; j < k; ++j) sum += h[j] * x[j];
  return sum;
}

// Rows of floats that stand for a whole matrix: what they cost, and what they are.
struct Sample {
  std::vector<double> weights, errors;  // [k]
  OutputError sum;                      // of both with H
};

void add_products(const Gram& gram, std::span<Sample> samples) {
  const uint32_t k = gram.columns();
  for (uint32_t i = 0; i < k; ++i) {
    const double* const h = gram.upper_row(i);
    const auto share = [&](const std::vector<double>& x) {
      return x[i] * (h[i] * x[i] + 2 * upper_product(h, x.data(), i, k));
    };
    for (Sample& sample : samples) {
      sample.sum.error += share(sample.errors);
      sample.sum.output += share(sample.weights);
    }
  }
}

}  // namespace

OutputError output_error(const float* values, const WeightMatrix& quantized, const Gram& gram) {
  const uint32_t k = quantized.k, count = std::min(quantized.n, kSampledRows);
  std::vector<Sample> samples(count);
  parallel_for(count, kTogether, [&](uint64_t first, uint64_t last) {
    for (uint64_t i = first; i < last; ++i) {
      const auto row = static_cast<uint32_t>(i * quantized.n / count);
      Sample& sample = samples[i];
      sample.weights.assign(values + size_t{row} * k, values + size_t{row + 1} * k);
      for (uint32_t c = 0; c < k; ++c) sample.errors.push_back(sample.weights[c] - dequantize(quantized, row, c));
    }
    add_products(gram, std::span(samples).subspan(first, last - first));
  });
  OutputError sum;
  for (const Sample& sample : samples) {
    sum.error += sample.sum.error;
    sum.output += sample.sum.output;
  }
  return sum;
}

}  // namespace polygraft
