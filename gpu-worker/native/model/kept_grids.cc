#include "model/kept_grids.h"

#include "model/weight_list.h"

namespace polygraft {
namespace {

// Of matrices that have more bits than 4, or a grid that no scheme of the engine has. Of what a group's 5 or 6 bits tell
// apart, 8 tell the eighth or fourth part.
constexpr OwnGrid kFine{Scheme::kW8, 32};

bool four_bits(const OwnGrid& grid) { return grid.scheme == Scheme::kW4 || grid.scheme == Scheme::kNf4; }

}  // namespace

KeptGrids kept_grids(const WeightSource& source, const ModelConfig& config, const QuantizeOptions& options) {
  KeptGrids kept;
  if (options.keep == Keep::kNothing) return kept;
  const bool keep_bits = options.keep == Keep::kBits && source.precision() != Precision::kFull;
  ModelWeights weights;
  for (const NamedWeight& weight : named_weights(config, weights)) {
    if (weight.matrix == nullptr) continue;
    const std::optional<OwnGrid> own = source.at(weight.name).grid();
    if (weight.matrix == &weights.embedding || weight.matrix == &weights.head) {
      if (own && options.head_bits != 32) kept.emplace(weight.name, *own);
    } else if (options.scheme != Scheme::kF32) {
      if (own && (four_bits(*own) || keep_bits))
        kept.emplace(weight.name, *own);
      else if (keep_bits)
        kept.emplace(weight.name, kFine);
    }
  }
  return kept;
}

}  // namespace polygraft
