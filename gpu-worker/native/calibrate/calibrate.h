// Quantizing a model with the activations that texts cause in it.
//
// Layer by layer, and within a layer in the order of the data: the inputs of each linear layer are those that the
// already quantized layers before it produce, in f32, so that later layers make up for earlier ones. Deterministic: the
// same checkpoint, options and tokens give the same bytes, whatever the number of threads or the instruction set.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "calibrate/compensate.h"
#include "model/backend.h"
#include "model/weight_source.h"
#include "model/loader.h"

namespace polygraft {

// Tokens whose activations count, cut into sequences of their own.
struct CalibrationTokens {
  std::span<const uint32_t> tokens;
  uint32_t sequence = 512;  // tokens that see each other
};

// What it gained: squared error over squared output of each projection, mean over layers, without and with calibration.
struct CalibrationGain {
  std::array<double, 7> rounded{}, calibrated{};
};

// Linear layers become `options.scheme` (kW4 or kNf4) by compensate.h; embedding and head are rounded as without
// calibration. `backend` must compute activations in f32. Phases "quantize" and "calibrate" (in linear groups, not
// bytes). Throws Error(PG_INVALID_ARGUMENT, "tokens" or "scheme").
ModelWeights calibrate_checkpoint(const WeightSource& source, const ModelConfig& config,
                                  const QuantizeOptions& options, const CalibrationTokens& calibration,
                                  Backend& backend, const LoadProgress& progress, CalibrationGain& gain);

}  // namespace polygraft
