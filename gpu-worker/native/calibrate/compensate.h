// Quantizing a matrix so that its outputs change least.
#pragma once

#include "calibrate/feedback.h"
#include "model/weights.h"

namespace polygraft {

// Quantizes `out.n` rows of floats into `out`, allocated as kW4 or kNf4. The grid of a W4 group is searched when the
// rounding gets there, on the weights with all that was made up so far, each counted by its importance. Rows depend on
// nothing but themselves and the feedback.
void quantize_with_feedback(const float* values, const Feedback& feedback, WeightMatrix& out);

// The squared error that quantized weights cause at the output, and the squared output itself: sums over rows of e H e^T
// and w H w^T. Up to 128 rows, evenly spread, stand for all.
struct OutputError {
  double error = 0, output = 0;
};
OutputError output_error(const float* values, const WeightMatrix& quantized, const Gram& gram);

}  // namespace polygraft
