#include "model/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "model/half.h"
#include "model/loader.h"
#include "test/check.h"

using namespace polygraft;

namespace {

std::vector<float> gaussian(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  // Box-Muller by hand: std::normal_distribution differs between standard libraries.
  for (float& v : values) {
    const double u1 = (random() + 1.0) / 4294967297.0, u2 = random() / 4294967296.0;
    v = static_cast<float>(std::sqrt(-2 * std::log(u1)) * std::cos(6.283185307179586 * u2));
  }
  return values;
}

double relative_error(const std::vector<float>& values, const WeightMatrix& w) {
  double error = 0, norm = 0;
  for (uint32_t r = 0; r < w.n; ++r)
    for (uint32_t c = 0; c < w.k; ++c) {
      const double v = values[static_cast<size_t>(r) * w.k + c], e = v - dequantize(w, r, c);
      error += e * e;
      norm += v * v;
    }
  return std::sqrt(error / norm);
}

}  // namespace

// The figures of a plain min-max quantizer on the same data are .078, .090 and .100: a search that does nothing fails.
TEST(affine_search_beats_the_plain_range) {
  const auto values = gaussian(256 * 1024, 1);
  CHECK(relative_error(values, quantize(values.data(), 256, 1024, Scheme::kW4, 32)) < 0.072);
  CHECK(relative_error(values, quantize(values.data(), 256, 1024, Scheme::kW4, 64)) < 0.083);
  CHECK(relative_error(values, quantize(values.data(), 256, 1024, Scheme::kW4, 128)) < 0.093);
}

// A group's smallest weight gets code 0, its largest code 15, and both come back but for the rounding to fp16.
TEST(the_plain_grid_spans_the_range) {
  const auto values = gaussian(256 * 1024, 5);
  const WeightMatrix w = quantize(values.data(), 256, 1024, Scheme::kW4, 64, Grid::kPlain);
  CHECK_NEAR(relative_error(values, w), 0.090, 0.001);
  for (uint32_t first = 0; first < 1024; first += 64) {
    const auto [low, high] = std::minmax_element(values.begin() + first, values.begin() + first + 64);
    for (const auto at : {low, high}) {
      const auto column = static_cast<uint32_t>(at - values.begin());
      CHECK_NEAR(dequantize(w, 0, column), *at, 0.004);
    }
  }
}

// llama.cpp's Q4_0 as ggml-quants.c computes it: d = extreme / -8, q = min(15, trunc(x / d + 8.5)), x' = d * (q - 8).
TEST(the_symmetric_grid_is_that_of_q4_0) {
  const uint32_t n = 64, k = 96, group = 32;
  const auto values = gaussian(n * k, 6);
  const WeightMatrix w = quantize(values.data(), n, k, Scheme::kW4, group, Grid::kSymmetric);
  uint32_t different = 0;
  for (uint32_t r = 0; r < n; ++r)
    for (uint32_t first = 0; first < k; first += group) {
      const float* const x = values.data() + size_t{r} * k + first;
      const float extreme = *std::max_element(x, x + group, [](float a, float b) { return std::abs(a) < std::abs(b); });
      const float exact = extreme / -8, d = fp16_to_float(float_to_fp16(exact));
      for (uint32_t i = 0; i < group; ++i) {
        const int q = std::min(15, static_cast<int>(x[i] / exact + 8.5f));
        const float got = dequantize(w, r, first + i), expected = d * static_cast<float>(q - 8);
        different += got != expected ? 1 : 0;
        CHECK_NEAR(got, expected, std::abs(d) * 1.001f);
      }
    }
  CHECK(different < n * k / 1000);  // codes near a tie: this engine divides by the scale as it is stored
}

namespace {

float as_fp16(float v) { return fp16_to_float(float_to_fp16(v)); }
float as_bf16(float v) {
  uint32_t bits = std::bit_cast<uint32_t>(v);
  bits += 0x7fff + (bits >> 16 & 1);
  return std::bit_cast<float>(bits & 0xffff0000u);
}

// Groups on grids of their own that use `used` neighbouring codes, both ends included. `symmetric`: Q4_0, code 8 is zero
// and code 0 in use; else Q4_1 with any minimum.
std::vector<float> gridded(uint32_t group, uint32_t used, bool symmetric, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(64 * group);
  for (size_t first = 0; first < values.size(); first += group) {
    const float sign = symmetric && random() % 2 == 0 ? -1.0f : 1.0f;
    const float scale = sign * as_fp16(static_cast<float>(random() % 1000 + 20) / 7000.0f);
    const float minimum = symmetric ? -8 * scale : as_fp16(static_cast<float>(random() % 1000) / -500.0f);
    for (uint32_t i = 0; i < group; ++i) {
      const uint32_t q = i == 3 ? 0 : i == 7 ? 1 : i == 17 ? used - 1 : random() % used;
      values[first + i] = scale * static_cast<float>(q) + minimum;
    }
  }
  return values;
}

}  // namespace

// A model that has been through a 4-bit file keeps the file's values, whichever of the 16 a group uses.
TEST(groups_that_lie_on_a_grid_stay_on_it) {
  for (const uint32_t group : {32u, 64u, 128u})
    for (const bool symmetric : {false, true})
      for (const uint32_t used : {3u, 9u, 15u, 16u}) {
        const auto values = gridded(group, used, symmetric, group + used);
        const WeightMatrix w = quantize(values.data(), 64, group, Scheme::kW4, group);
        for (uint32_t r = 0; r < 64; ++r)
          for (uint32_t c = 0; c < group; ++c)
            // Sums of scale and minimum round once in f32.
            CHECK_NEAR(dequantize(w, r, c), values[r * group + c], symmetric ? 0.0 : 3e-7);
      }
}

// Such a file's values rounded to 16 bits since: what they were before is found again, or nearly.
TEST(groups_near_a_grid_are_drawn_to_it) {
  for (const auto round : {as_fp16, as_bf16}) {
    const auto values = gridded(32, 14, true, 8);
    std::vector<float> rounded;
    for (const float v : values) rounded.push_back(round(v));
    const WeightMatrix w = quantize(rounded.data(), 64, 32, Scheme::kW4, 32);
    const double bound = round == as_fp16 ? 2e-4 : 1.5e-3;  // bf16 itself costs about 1.1e-3
    CHECK_NEAR(relative_error(values, w), 0, bound);
    CHECK(relative_error(values, quantize(rounded.data(), 64, 32, Scheme::kW4, 32, Grid::kPlain)) > 10 * bound);
  }
}

TEST(nf4_and_w8_have_the_errors_of_their_papers) {
  const auto values = gaussian(256 * 1024, 2);
  CHECK(relative_error(values, quantize(values.data(), 256, 1024, Scheme::kNf4, 64)) < 0.094);
  CHECK(relative_error(values, quantize(values.data(), 256, 1024, Scheme::kW8, 64)) < 0.006);
  CHECK_EQ(relative_error(values, quantize(values.data(), 256, 1024, Scheme::kF32, 0)), 0.0);
}

// No single weight is further from its stored value than half a step, but for those that were clipped.
TEST(codes_are_the_nearest_for_the_stored_scale) {
  const uint32_t n = 7, k = 65, group = 32;
  const auto values = gaussian(n * k, 3);
  const WeightMatrix w = quantize(values.data(), n, k, Scheme::kW4, group);
  for (uint32_t r = 0; r < n; ++r)
    for (uint32_t c = 0; c < k; ++c) {
      const size_t g = r * w.groups() + c / group;
      const double s = fp16_to_float(w.scales[g]), m = fp16_to_float(w.minimums[g]);
      const double v = values[r * k + c];
      double nearest = 1e9;
      for (int q = 0; q < 16; ++q) nearest = std::min(nearest, std::abs(s * q + m - v));
      CHECK_NEAR(std::abs(dequantize(w, r, c) - v), nearest, 1e-5);
    }
}

TEST(nf4_codes_are_the_nearest_table_entries) {
  const uint32_t n = 5, k = 33, group = 32;
  const auto values = gaussian(n * k, 4);
  const WeightMatrix w = quantize(values.data(), n, k, Scheme::kNf4, group);
  for (uint32_t r = 0; r < n; ++r)
    for (uint32_t c = 0; c < k; ++c) {
      const double s = fp16_to_float(w.scales[r * w.groups() + c / group]);
      double nearest = 1e9;
      for (const float t : kNf4Table) nearest = std::min(nearest, std::abs(s * t - values[r * k + c]));
      CHECK_NEAR(std::abs(dequantize(w, r, c) - values[r * k + c]), nearest, 1e-5);
    }
}

TEST(w8_is_exact_for_multiples_of_a_power_of_two) {
  std::vector<float> values(64);
  for (int i = 0; i < 64; ++i) values[static_cast<size_t>(i)] = static_cast<float>(i * 2 - 1) / 64.0f;
  values[63] = -127.0f / 64.0f;
  const WeightMatrix w = quantize(values.data(), 1, 64, Scheme::kW8, 64);
  for (uint32_t c = 0; c < 64; ++c) CHECK_EQ(dequantize(w, 0, c), values[c]);
}

TEST(constant_and_zero_groups_are_exact) {
  std::vector<float> values(96, 0.0f);
  for (int i = 32; i < 64; ++i) values[static_cast<size_t>(i)] = 0.25f;
  for (int i = 64; i < 96; ++i) values[static_cast<size_t>(i)] = -3.0f;
  for (const Scheme scheme : {Scheme::kW4, Scheme::kNf4}) {
    const WeightMatrix w = quantize(values.data(), 1, 96, scheme, 32);
    for (uint32_t c = 0; c < 96; ++c) CHECK_EQ(dequantize(w, 0, c), values[c]);
  }
  const WeightMatrix w8 = quantize(values.data(), 1, 96, Scheme::kW8, 32);
  for (uint32_t c = 0; c < 96; ++c) CHECK_NEAR(dequantize(w8, 0, c), values[c], 2e-3);  // 127 * fp16(v / 127)
}

// 576 is no multiple of 128, and 33 not even even.
TEST(short_last_groups_and_odd_widths_have_their_places) {
  for (const uint32_t k : {1u, 33u, 576u, 577u}) {
    const auto values = gaussian(3 * k, k);
    const WeightMatrix w = quantize(values.data(), 3, k, Scheme::kW4, 128);
    CHECK_EQ(w.groups(), (k + 127) / 128);
    CHECK_EQ(w.scales.size(), 3 * w.groups());
    CHECK_EQ(w.minimums.size(), 3 * w.groups());
    CHECK_EQ(w.codes.size(), 3 * ((k + 1) / 2));
    CHECK(relative_error(values, w) < 0.12);
  }
}

// A row's codes do not depend on its neighbours or on how rows were shared out.
TEST(rows_are_quantized_alike_alone_and_together) {
  const uint32_t n = 200, k = 96;
  const auto values = gaussian(n * k, 5);
  for (const Scheme scheme : {Scheme::kW4, Scheme::kNf4, Scheme::kW8}) {
    const WeightMatrix together = quantize(values.data(), n, k, scheme, 32);
    WeightMatrix alone = allocate_matrix(n, k, scheme, 32);
    for (uint32_t r = 0; r < n; ++r) quantize_rows(values.data() + r * k, r, 1, alone);
    CHECK(together.codes == alone.codes);
    CHECK(together.scales == alone.scales);
    CHECK(together.minimums == alone.minimums);
  }
}

TEST(tiny_and_huge_weights_stay_finite) {
  std::vector<float> values(64);
  for (int i = 0; i < 32; ++i) values[static_cast<size_t>(i)] = 1e-9f * static_cast<float>(i);
  for (int i = 32; i < 64; ++i) values[static_cast<size_t>(i)] = 3700.0f * static_cast<float>(i - 48);
  for (const Scheme scheme : {Scheme::kW4, Scheme::kNf4, Scheme::kW8}) {
    const WeightMatrix w = quantize(values.data(), 1, 64, scheme, 32);
    for (uint32_t c = 0; c < 64; ++c) {
      CHECK(std::isfinite(dequantize(w, 0, c)));
      CHECK_NEAR(dequantize(w, 0, c), values[c], 10000.0);
    }
    for (uint32_t c = 0; c < 32; ++c) CHECK_NEAR(dequantize(w, 0, c), values[c], 1e-7);
  }
}
