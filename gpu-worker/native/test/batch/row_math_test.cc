#include "batch/row_math.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "batch/logprobs.h"
#include "test/check.h"

using namespace polygraft;

namespace {
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> random_row(size_t size, uint32_t seed, float spread = 4) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> row(size);
  for (float& x : row) x = normal(random);
  return row;
}
}  // namespace

TEST(exp_is_within_two_ulp) {
  for (int i = 0; i <= 870000; i += 7) {
    const float x = -static_cast<float>(i) * 1e-4f;
    float y;
    exp_nonpositive({&x, 1}, {&y, 1});
    const double exact = std::exp(static_cast<double>(x));
    CHECK_NEAR(y, exact, exact * 2.4e-7);
  }
  const std::vector<float> x = {0, -87.5f, -1e30f, -kInfinity};
  std::vector<float> y(4);
  exp_nonpositive(x, y);
  CHECK((y == std::vector<float>{1, 0, 0, 0}));
}

TEST(finite_and_max_at_every_length_and_place) {
  for (size_t size = 1; size < 40; ++size) {
    for (size_t at = 0; at < size; ++at) {
      auto row = random_row(size, static_cast<uint32_t>(size));
      CHECK(all_finite(row));
      row[at] = 100;
      CHECK_EQ(max_value(row), 100.0f);
      CHECK_EQ(argmax(row), at);
      for (const float bad : {kNan, kInfinity, -kInfinity}) {
        row[at] = bad;
        CHECK(!all_finite(row));
      }
    }
  }
}

TEST(ties_go_to_the_lowest_id) {
  std::vector<float> row(50, -1.0f);
  row[17] = row[33] = row[49] = 2;
  CHECK_EQ(argmax(row), 17u);
}

TEST(logprobs_agree_with_f64) {
  for (const size_t size : {1, 15, 16, 17, 320, 49152}) {
    const auto row = random_row(size, 3, 6);
    double top = -1e30, sum = 0;
    for (const float x : row) top = std::max(top, static_cast<double>(x));
    for (const float x : row) sum += std::exp(x - top);
    const LogProbs logprobs(row);
    for (size_t i = 0; i < size; i += 1 + size / 50) {
      CHECK_NEAR(logprobs.of(static_cast<uint32_t>(i)), row[i] - top - std::log(sum), 2e-6);
    }
  }
}

TEST(top_is_best_first_with_ties_by_lower_id) {
  std::vector<float> row(100, 0.0f);
  row[40] = 3, row[60] = 5, row[61] = 5, row[7] = 3;
  std::vector<pg_alternative> top;
  append_top(row, LogProbs(row), 6, top);
  const std::vector<uint32_t> expected = {60, 61, 7, 40, 0, 1};
  REQUIRE(top.size() == expected.size());
  for (size_t i = 0; i < top.size(); ++i) CHECK_EQ(top[i].token, expected[i]);
  CHECK_EQ(top[0].logprob, top[1].logprob);
  top.clear();
  append_top(std::span(row).first(3), LogProbs(row), 20, top);
  CHECK_EQ(top.size(), 3u);
}
