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
#include "calibrate/weight_error.h"
#include "model/backend.h"
#include "model/weight_source.h"
#include "model/loader.h"

namespace polygraft {

// Tokens whose activations count, cut into sequences of their own.
struct CalibrationTokens {
  std::span<const uint32_t> tokens;
  uint32_t sequence = 512;  // tokens that see each other
};

// What it gained: squared error over squared output of each projection, mean over layers, without and with calibration;
// and of the head, if that is in 4 bits.
struct CalibrationGain {
  std::array<double, kErrorKinds> rounded{}, calibrated{};
};

// Linear layers become `options.scheme` (kW4 or kNf4) by compensate.h, and so does a head in 4 bits, on the outputs of the
// final norm. Embeddings are rounded as without calibration, but for one that is such a head. `backend` must compute
// activations in f32. Phases "quantize" and "calibrate" (in linear groups and pieces of the head, not bytes). Throws
// Error(PG_INVALID_ARGUMENT, "tokens" or "scheme").
ModelWeights calibrate_checkpoint(const WeightSource& source, const ModelConfig& config,
                                  const QuantizeOptions& options, const CalibrationTokens& calibration,
                                  Backend& backend, const LoadProgress& progress, CalibrationGain& gain);

}  // namespace polygraft
