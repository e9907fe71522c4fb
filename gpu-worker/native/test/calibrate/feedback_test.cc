#include "calibrate/feedback.h"

#include <vector>

#include "test/calibrate/inputs.h"
#include "test/check.h"

using namespace polygraft;

// (U + I) D (U + I)^T must be H with damping on its diagonal, divided by the mean of H's diagonal.
TEST(the_factors_multiply_to_the_damped_gram_matrix) {
  for (const uint32_t n : {1u, 5u, 32u, 33u, 100u}) {
    const uint32_t rows = 200;
    Gram gram(n);
    gram.add(calibration::inputs(rows, n, n).data(), rows);
    const Feedback feedback = factorize(gram, 0.01);
    double mean = 0;
    for (uint32_t i = 0; i < n; ++i) mean += gram.at(i, i) / n;
    const auto u = [&](uint32_t i, uint32_t j) { return i == j ? 1.0 : double{feedback.u[size_t{i} * n + j]}; };
    for (uint32_t i = 0; i < n; ++i)
      for (uint32_t j = 0; j < n; ++j) {
        if (j < i) CHECK_EQ(feedback.u[size_t{i} * n + j], 0.0f);
        double sum = 0;
        for (uint32_t k = std::max(i, j); k < n; ++k) sum += u(i, k) * feedback.importance[k] * u(j, k);
        const double expected = gram.at(i, j) / mean + (i == j ? 0.01 : 0.0);
        CHECK_NEAR(sum, expected, 2e-5 * (1 + std::abs(expected)));
      }
  }
}

TEST(inputs_that_were_always_zero_get_no_feedback) {
  const uint32_t n = 40;
  const Feedback feedback = factorize(Gram(n), 0.01);
  for (const float u : feedback.u) CHECK_EQ(u, 0.0f);
  for (const float d : feedback.importance) CHECK_EQ(d, 1.0f);
}

TEST(a_single_dead_input_does_no_harm) {
  const uint32_t n = 40, rows = 100;
  auto x = calibration::inputs(rows, n, 9);
  for (uint32_t t = 0; t < rows; ++t) x[t * n + 11] = 0;
  Gram gram(n);
  gram.add(x.data(), rows);
  const Feedback feedback = factorize(gram, 0.01);
  for (uint32_t j = 0; j < n; ++j) {
    CHECK(std::isfinite(feedback.importance[j]) && feedback.importance[j] > 0);
    CHECK_EQ(feedback.u[11 * n + j], 0.0f);
    CHECK_EQ(feedback.u[j * n + 11], 0.0f);
  }
}
