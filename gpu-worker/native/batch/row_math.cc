#include "batch/row_math.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace polygraft {
namespace {

constexpr size_t kLanes = 16;

// exp(x) for x <= 0: 2^n * p(r), n = round(x / ln 2), |r| <= ln 2 / 2. Cody-Waite reduction, Taylor-like polynomial of
// degree 6 with a relative error of 2e-8 before rounding.
inline float exp_one(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  constexpr float kLowest = -87.0f;
  const float clamped = x > kLowest ? x : kLowest;
  const float shifted = clamped * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * r) * r + r + 1.0f;
  // The low bits of `shifted` are n in two's complement, so this is 2^n.
  const float scale = std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) + 127u) << 23);
  // A mask and not a branch: loops over this are vectorized.
  const uint32_t keep = x >= kLowest ? ~0u : 0u;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(p * scale) & keep);
}

}  // namespace

bool all_finite(std::span<const float> row) {
  uint32_t bad = 0;
  for (const float x : row) {
    bad |= (std::bit_cast<uint32_t>(x) & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
  }
  return bad == 0;
}

float max_value(std::span<const float> row) {
  float lanes[kLanes];
  for (float& lane : lanes) lane = -std::numeric_limits<float>::infinity();
  size_t i = 0;
  for (; i + kLanes <= row.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) lanes[j] = row[i + j] > lanes[j] ? row[i + j] : lanes[j];
  }
  for (size_t j = 0; i + j < row.size(); ++j) lanes[j] = row[i + j] > lanes[j] ? row[i + j] : lanes[j];
  float best = lanes[0];
  for (const float lane : lanes) best = lane > best ? lane : best;
  return best;
}

// The best chunk first, so that the row is read once and one chunk twice.
uint32_t argmax(std::span<const float> row) {
  constexpr size_t kChunk = 256;
  size_t best_chunk = 0;
  float best = -std::numeric_limits<float>::infinity();
  for (size_t first = 0; first < row.size(); first += kChunk) {
    const float value = max_value(row.subspan(first, std::min(kChunk, row.size() - first)));
    if (value > best) best = value, best_chunk = first;
  }
  for (size_t i = best_chunk; i < row.size(); ++i) {
    if (row[i] == best) return static_cast<uint32_t>(i);
  }
  return 0;
}

void exp_nonpositive(std::span<const float> x, std::span<float> y) {
  const size_t n = x.size();
  for (size_t i = 0; i < n; ++i) y[i] = exp_one(x[i]);
}

double sum_exp(std::span<const float> x, float shift) {
  double lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= x.size(); i += kLanes) {
    float part[kLanes];
    for (size_t j = 0; j < kLanes; ++j) part[j] = exp_one(x[i + j] - shift);
    for (size_t j = 0; j < kLanes; ++j) lanes[j] += static_cast<double>(part[j]);
  }
  for (size_t j = 0; i + j < x.size(); ++j) lanes[j] += static_cast<double>(exp_one(x[i + j] - shift));
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

double sum(std::span<const float> x) {
  double lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= x.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) lanes[j] += static_cast<double>(x[i + j]);
  }
  for (size_t j = 0; i + j < x.size(); ++j) lanes[j] += static_cast<double>(x[i + j]);
  double total = 0;
  for (const double lane : lanes) total += lane;
  return total;
}

}  // namespace polygraft
