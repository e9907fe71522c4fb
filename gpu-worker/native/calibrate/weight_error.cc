#include "calibrate/weight_error.h"

#include <algorithm>
#include <vector>

#include "model/parallel_for.h"
#include "model/progress.h"
#include "model/quantize.h"
#include "model/source.h"
#include "model/weight_list.h"

namespace polygraft {
namespace {

constexpr uint64_t kPieceFloats = 256u << 10;  // that a thread holds in full precision

struct Sums {
  double plain = 0, stored = 0, weights = 0;
};

// Rows [first, last) of a matrix.
Sums compare_rows(const SourceTensor& source, const std::string& name, const WeightMatrix& matrix, uint64_t first,
                  uint64_t last) {
  const uint32_t k = matrix.k, rows = static_cast<uint32_t>(last - first);
  std::vector<float> values(size_t{rows} * k);
  read_weights(source, name, first * k, values, true);
  WeightMatrix plain = allocate_matrix(rows, k, matrix.scheme, matrix.group);
  quantize_rows(values.data(), 0, rows, plain, Grid::kPlain);
  Sums sums;
  for (uint32_t r = 0; r < rows; ++r)
    for (uint32_t c = 0; c < k; ++c) {
      const double w = values[size_t{r} * k + c];
      const double rounded = w - dequantize(plain, r, c);
      const double kept = w - dequantize(matrix, static_cast<uint32_t>(first) + r, c);
      sums.plain += rounded * rounded;
      sums.stored += kept * kept;
      sums.weights += w * w;
    }
  return sums;
}

Sums compare(const SourceTensor& source, const std::string& name, const WeightMatrix& matrix) {
  const uint64_t grain = std::max<uint64_t>(1, kPieceFloats / matrix.k);
  std::vector<Sums> parts((matrix.n + grain - 1) / grain);
  parallel_for(matrix.n, grain, [&](uint64_t first, uint64_t last) {
    parts[first / grain] = compare_rows(source, name, matrix, first, last);
  });
  Sums all;
  for (const Sums& part : parts) {
    all.plain += part.plain;
    all.stored += part.stored;
    all.weights += part.weights;
  }
  return all;
}

}  // namespace

WeightError weight_error(const WeightSource& source, const ModelConfig& config, ModelWeights& weights,
                         const LoadProgress& progress) {
  WeightError error;
  const WeightMatrix& head = config.tied_head ? weights.embedding : weights.head;
  const bool of_head = head.scheme == Scheme::kW4;
  Progress meter(progress, "compare", config.layers + (of_head ? 1 : 0));
  const std::vector<NamedWeight> list = named_weights(config, weights);
  const auto add = [&](const WeightMatrix& matrix, size_t kind, uint32_t count) {
    if (matrix.scheme == Scheme::kF32) return;
    const auto named =
        std::find_if(list.begin(), list.end(), [&](const NamedWeight& weight) { return weight.matrix == &matrix; });
    const Sums sums = compare(source.at(named->name), named->name, matrix);
    if (sums.weights == 0) return;
    error.plain[kind] += sums.plain / sums.weights / count;
    error.stored[kind] += sums.stored / sums.weights / count;
  };
  for (const LayerWeights& layer : weights.layers) {
    for (size_t p = 0; p < 7; ++p) add(layer.projections[p], p, config.layers);
    meter.add(1);
  }
  if (of_head) {
    add(head, kHeadError, 1);
    meter.add(1);
  }
  meter.finish();
  return error;
}

}  // namespace polygraft
