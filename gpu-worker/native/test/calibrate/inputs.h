// Inputs as layers have them: columns that depend on each other and differ in size.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace polygraft::calibration {

// Box-Muller by hand: std::normal_distribution differs between standard libraries.
inline float gaussian(std::mt19937& random) {
  const double u1 = (random() + 1.0) / 4294967297.0, u2 = random() / 4294967296.0;
  return static_cast<float>(std::sqrt(-2 * std::log(u1)) * std::cos(6.283185307179586 * u2));
}

inline std::vector<float> gaussians(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& v : values) v = gaussian(random);
  return values;
}

// [rows][columns]: eight hidden factors and some noise.
inline std::vector<float> inputs(uint32_t rows, uint32_t columns, uint32_t seed) {
  constexpr uint32_t kFactors = 8;
  std::mt19937 random(seed);
  const auto mixing = gaussians(size_t{kFactors} * columns, seed + 1);
  std::vector<float> x(size_t{rows} * columns);
  for (uint32_t t = 0; t < rows; ++t) {
    float factors[kFactors];
    for (float& factor : factors) factor = gaussian(random);
    for (uint32_t c = 0; c < columns; ++c) {
      float sum = 0.3f * gaussian(random);
      for (uint32_t f = 0; f < kFactors; ++f) sum += factors[f] * mixing[f * columns + c];
      x[size_t{t} * columns + c] = sum * (c % 16 == 3 ? 4.0f : 1.0f);
    }
  }
  return x;
}

}  // namespace polygraft::calibration
