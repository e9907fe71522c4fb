#include "calibrate/compensate.h"

#include <algorithm>

#include "model/loader.h"
#include "model/quantize.h"
#include "test/calibrate/inputs.h"
#include "test/check.h"
#include "test/support/weights.h"

using namespace polygraft;

namespace {

constexpr uint32_t kTokens = 400;

Gram gram_of(const std::vector<float>& x, uint32_t columns) {
  Gram gram(columns);
  gram.add(x.data(), static_cast<uint32_t>(x.size() / columns));
  return gram;
}

WeightMatrix compensated(const std::vector<float>& values, uint32_t n, uint32_t k, Scheme scheme, uint32_t group,
                         const Feedback& feedback) {
  WeightMatrix out = allocate_matrix(n, k, scheme, group);
  quantize_with_feedback(values.data(), feedback, out);
  return out;
}

}  // namespace

TEST(independent_inputs_of_one_size_give_plain_rounding_bit_for_bit) {
  const uint32_t n = 20, k = 100;
  const auto values = calibration::gaussians(n * k, 1);
  const Feedback none = factorize(Gram(k), 0.01);
  for (const Scheme scheme : {Scheme::kW4, Scheme::kNf4})
    for (const uint32_t group : {32u, 64u, 128u})
      CHECK(weights_equal(compensated(values, n, k, scheme, group, none),
                          quantize(values.data(), n, k, scheme, group)));
}

// The point of it all. Errors are of outputs that the quantizer never saw: inputs of the same kind, other tokens.
TEST(outputs_change_less_than_by_rounding_also_on_other_inputs) {
  const uint32_t n = 48, k = 192;
  const auto values = calibration::gaussians(n * k, 2);
  const auto all = calibration::inputs(2 * kTokens, k, 3);
  const std::vector<float> seen(all.begin(), all.begin() + kTokens * k), unseen(all.begin() + kTokens * k, all.end());
  const Feedback feedback = factorize(gram_of(seen, k), 0.01);
  const Gram judge = gram_of(unseen, k);
  for (const Scheme scheme : {Scheme::kW4, Scheme::kNf4})
    for (const uint32_t group : {32u, 64u, 128u}) {
      const double rounded = output_error(values.data(), quantize(values.data(), n, k, scheme, group), judge).error;
      const double better = output_error(values.data(), compensated(values, n, k, scheme, group, feedback), judge).error;
      CHECK(better < 0.5 * rounded);
    }
}

TEST(the_output_error_is_that_of_the_products) {
  const uint32_t n = 6, k = 70;
  const auto values = calibration::gaussians(n * k, 4), x = calibration::inputs(kTokens, k, 5);
  const WeightMatrix w = quantize(values.data(), n, k, Scheme::kW4, 32);
  double error = 0, output = 0;
  for (uint32_t t = 0; t < kTokens; ++t)
    for (uint32_t r = 0; r < n; ++r) {
      double exact = 0, rounded = 0;
      for (uint32_t c = 0; c < k; ++c) {
        exact += double{values[r * k + c]} * x[t * k + c];
        rounded += double{dequantize(w, r, c)} * x[t * k + c];
      }
      error += (exact - rounded) * (exact - rounded);
      output += exact * exact;
    }
  const OutputError got = output_error(values.data(), w, gram_of(x, k));
  CHECK_NEAR(got.error, error, 1e-3 * error);
  CHECK_NEAR(got.output, output, 1e-3 * output);
}

TEST(rows_depend_on_nothing_but_themselves) {
  const uint32_t n = 37, k = 65;
  const auto values = calibration::gaussians(n * k, 6);
  const Feedback feedback = factorize(gram_of(calibration::inputs(kTokens, k, 7), k), 0.01);
  const WeightMatrix all = compensated(values, n, k, Scheme::kW4, 32, feedback);
  for (uint32_t row = 0; row < n; ++row) {
    const std::vector<float> alone(values.begin() + row * k, values.begin() + (row + 1) * k);
    const WeightMatrix one = compensated(alone, 1, k, Scheme::kW4, 32, feedback);
    for (uint32_t c = 0; c < k; ++c) CHECK_EQ(dequantize(one, 0, c), dequantize(all, row, c));
  }
}
