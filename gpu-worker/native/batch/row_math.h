// Passes over a row of logits, each with one fixed order of operations.
//
// The compiler vectorizes these loops for whatever it targets; the order of every sum is written out in lanes, and none
// uses a fused multiply-add, so the results are the same bits on every build.
#pragma once

#include <cstdint>
#include <span>

namespace polygraft {

// Whether no value is NaN or infinite.
bool all_finite(std::span<const float> row);
// The largest value; -infinity for an empty row. NaNs are ignored.
float max_value(std::span<const float> row);
// The lowest index that holds the largest value.
uint32_t argmax(std::span<const float> row);
// y[i] = exp(x[i]) for x[i] <= 0, within 2 ulp; 0 below -87, so that -infinity gives 0. x and y may be the same.
void exp_nonpositive(std::span<const float> x, std::span<float> y);
// The sum of exp(x[i] - shift) in f64. `shift` is at least the largest value.
double sum_exp(std::span<const float> x, float shift);
// The sum of all values in f64.
double sum(std::span<const float> x);

}  // namespace polygraft
