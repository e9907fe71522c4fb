#include "cpu/rope_table.h"

#include <cmath>
#include <numbers>

namespace polygraft {
namespace {

// Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, and those between blended.
double scale_llama3(double frequency, const RopeScaling& scaling) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double original = scaling.original_max_position;
  if (wavelength < original / scaling.high_freq_factor) return frequency;
  if (wavelength > original / scaling.low_freq_factor) return frequency / scaling.factor;
  const double smooth = (original / wavelength - scaling.low_freq_factor) /
                        (static_cast<double>(scaling.high_freq_factor) - scaling.low_freq_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

}  // namespace

RopeTable::RopeTable(const ModelConfig& config) : frequencies_(config.head_dim / 2) {
  for (size_t i = 0; i < frequencies_.size(); ++i) {
    const double frequency = std::pow(static_cast<double>(config.rope_theta), -2.0 * static_cast<double>(i) / config.head_dim);
    switch (config.rope_scaling.kind) {
      case RopeScaling::Kind::kNone: frequencies_[i] = frequency; break;
      case RopeScaling::Kind::kLinear: frequencies_[i] = frequency / config.rope_scaling.factor; break;
      case RopeScaling::Kind::kFactors: frequencies_[i] = frequency / config.rope_scaling.factors[i]; break;
      case RopeScaling::Kind::kLlama3: frequencies_[i] = scale_llama3(frequency, config.rope_scaling); break;
    }
  }
}

void RopeTable::reserve(uint32_t count) {
  const size_t half = frequencies_.size();
  while (pages_.size() * kPagePositions < count) {
    auto page = std::make_unique<float[]>(kPagePositions * 2 * half);
    for (uint32_t i = 0; i < kPagePositions; ++i) {
      const double position = static_cast<double>(pages_.size() * kPagePositions + i);
      for (size_t pair = 0; pair < half; ++pair) {
        page[i * 2 * half + pair] = static_cast<float>(std::cos(position * frequencies_[pair]));
        page[i * 2 * half + half + pair] = static_cast<float>(std::sin(position * frequencies_[pair]));
      }
    }
    pages_.push_back(std::move(page));
  }
}

}  // namespace polygraft
