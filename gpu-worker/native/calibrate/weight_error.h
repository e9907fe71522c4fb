// How far quantized weights are from their source.
#pragma once

#include <array>

#include "model/weight_source.h"
#include "model/loader.h"

namespace polygraft {

inline constexpr size_t kHeadError = 7, kErrorKinds = 8;  // projections, then the head

// Squared error over squared weights of each projection, mean over layers, and of the head if it is in 4 bits; 0 where
// nothing is quantized.
struct WeightError {
  std::array<double, kErrorKinds> plain{};   // of the same scheme with groups from their smallest to their largest weight
  std::array<double, kErrorKinds> stored{};  // of the weights as they are
};

// Reads the source again. Phase "compare". The sums have one order, whatever the number of threads.
WeightError weight_error(const WeightSource& source, const ModelConfig& config, ModelWeights& weights,
                         const LoadProgress& progress);

}  // namespace polygraft
