#include "calibrate/calibrate.h"

#include <algorithm>
#include <string>
#include <vector>

#include "calibrate/feedback.h"
#include "calibrate/gram.h"
#include "calibrate/layer_runner.h"
#include "model/error.h"
#include "model/half.h"
#include "model/progress.h"
#include "model/quantize.h"
#include "model/source.h"
#include "model/weight_list.h"

namespace polygraft {
namespace {

// Of the diagonal, as in the GPTQ paper.
constexpr double kDamping = 0.01;
constexpr uint32_t kHeadRows = 8192;  // of the head in full precision at a time

void check(const ModelConfig& config, const QuantizeOptions& options, const CalibrationTokens& calibration) {
  if (options.scheme != Scheme::kW4 && options.scheme != Scheme::kNf4)
    throw Error(PG_INVALID_ARGUMENT, "scheme", "calibration needs a 4-bit scheme: w4 or nf4");
  if (calibration.tokens.empty() || calibration.sequence == 0)
    throw Error(PG_INVALID_ARGUMENT, "tokens", "there are no tokens to calibrate with");
  if (calibration.sequence > config.max_position)
    throw Error(PG_INVALID_ARGUMENT, "sequence_tokens",
                "sequences of " + std::to_string(calibration.sequence) + " tokens; the model's positions end at " +
                    std::to_string(config.max_position));
  for (const uint32_t token : calibration.tokens)
    if (token >= config.vocab_size)
      throw Error(PG_INVALID_ARGUMENT, "tokens",
                  "token " + std::to_string(token) + " is not in the model's vocabulary of " +
                      std::to_string(config.vocab_size));
}

// Compensation can ask for grids that fp16 cannot hold only if activations are absurd.
void check_grids(const WeightMatrix& matrix, const std::string& name) {
  const auto finite = [](uint16_t bits) { return (bits & 0x7c00) != 0x7c00; };
  if (!std::all_of(matrix.scales.begin(), matrix.scales.end(), finite) ||
      !std::all_of(matrix.minimums.begin(), matrix.minimums.end(), finite))
    throw Error(PG_FAILED_PRECONDITION, name,
                "tensor " + name + " cannot be calibrated: its grid does not fit fp16; quantize without calibration");
}

// Rows of a matrix in 4 bits as a matrix, and back.
WeightMatrix copy_rows(const WeightMatrix& from, uint32_t first, uint32_t rows) {
  WeightMatrix to = allocate_matrix(rows, from.k, from.scheme, from.group);
  std::copy_n(from.codes.begin() + static_cast<ptrdiff_t>(from.codes.size() / from.n * first), to.codes.size(), to.codes.begin());
  std::copy_n(from.scales.begin() + ptrdiff_t{from.groups()} * first, to.scales.size(), to.scales.begin());
  std::copy_n(from.minimums.begin() + ptrdiff_t{from.groups()} * first, to.minimums.size(), to.minimums.begin());
  return to;
}
void put_rows(const WeightMatrix& from, uint32_t first, WeightMatrix& to) {
  std::ranges::copy(from.codes, to.codes.begin() + static_cast<ptrdiff_t>(to.codes.size() / to.n * first));
  std::ranges::copy(from.scales, to.scales.begin() + ptrdiff_t{to.groups()} * first);
  std::ranges::copy(from.minimums, to.minimums.begin() + ptrdiff_t{to.groups()} * first);
}

class Calibration {
 public:
  Calibration(const WeightSource& source, const ModelConfig& config, const CalibrationTokens& calibration,
              Backend& backend, ModelWeights& weights, const LoadProgress& progress, CalibrationGain& gain)
      : source_(source),
        config_(config),
        weights_(weights),
        list_(named_weights(config, weights)),
        gain_(gain),
        runner_(config, backend, calibration.sequence),
        head_(config.tied_head ? weights.embedding : weights.head),
        meter_(progress, "calibrate", uint64_t{config.layers} * 4 + (with_head() ? head_pieces() : 0)),
        residual_(calibration.tokens.size() * config.hidden_size) {
    for (size_t row = 0; row < calibration.tokens.size(); ++row)
      for (uint32_t c = 0; c < config.hidden_size; ++c)
        residual_[row * config.hidden_size + c] = dequantize(weights.embedding, calibration.tokens[row], c);
  }

  void run() {
    for (uint32_t layer = 0; layer < config_.layers; ++layer) run_layer(weights_.layers[layer]);
    if (with_head()) run_head();
    meter_.finish();
  }

 private:
  bool with_head() const { return head_.scheme == Scheme::kW4; }
  uint32_t head_pieces() const { return (head_.n + kHeadRows - 1) / kHeadRows; }

  // Piece by piece, for in full precision a vocabulary's matrix may be as large as the model in 4 bits.
  void run_head() {
    LayerWeights norm;
    norm.attention_norm = norm.mlp_norm = weights_.final_norm;
    runner_.load(std::move(norm));
    runner_.normalize(0, residual_, input_);
    const uint32_t k = head_.k;
    Gram gram(k);
    gram.add(input_.data(), static_cast<uint32_t>(input_.size() / k));
    const Feedback feedback = factorize(gram, kDamping);
    const std::string& name = name_of(head_);
    OutputError rounded, calibrated;
    for (uint32_t first = 0; first < head_.n; first += kHeadRows) {
      const uint32_t rows = std::min(kHeadRows, head_.n - first);
      std::vector<float> values(size_t{rows} * k);
      read_weights(source_.at(name), name, uint64_t{first} * k, values, true);
      WeightMatrix piece = copy_rows(head_, first, rows);
      add(output_error(values.data(), piece, gram), rounded);
      quantize_with_feedback(values.data(), feedback, piece);
      check_grids(piece, name);
      add(output_error(values.data(), piece, gram), calibrated);
      put_rows(piece, first, head_);
      meter_.add(1);
    }
    if (rounded.output > 0) {
      gain_.rounded[kHeadError] = rounded.error / rounded.output;
      gain_.calibrated[kHeadError] = calibrated.error / calibrated.output;
    }
  }

  void run_layer(LayerWeights& layer) {
    runner_.load(layer);
    runner_.normalize(0, residual_, input_);
    quantize(layer, {Projection::kQ, Projection::kK, Projection::kV});
    runner_.load(layer);
    runner_.attend(input_, output_);
    std::swap(input_, output_);
    quantize(layer, {Projection::kO});
    runner_.load(layer);
    runner_.add_attention(input_, residual_);
    runner_.normalize(1, residual_, input_);
    quantize(layer, {Projection::kGate, Projection::kUp});
    runner_.load(layer);
    runner_.gate_up(input_, output_);
    std::swap(input_, output_);
    quantize(layer, {Projection::kDown});
    runner_.load(layer);
    runner_.add_mlp(input_, residual_);
  }

  // Quantizes projections whose input is `input_` and replaces the rounded ones.
  void quantize(LayerWeights& layer, std::initializer_list<Projection> projections) {
    const uint32_t k = projection_shape(config_, *projections.begin()).k;
    Gram gram(k);
    gram.add(input_.data(), static_cast<uint32_t>(input_.size() / k));
    const Feedback feedback = factorize(gram, kDamping);
    for (const Projection projection : projections) {
      const auto p = static_cast<size_t>(projection);
      WeightMatrix& matrix = layer.projections[p];
      const std::string& name = name_of(matrix);
      std::vector<float> values(size_t{matrix.n} * k);
      read_weights(source_.at(name), name, 0, values, true);
      add(output_error(values.data(), matrix, gram), gain_.rounded[p]);
      quantize_with_feedback(values.data(), feedback, matrix);
      check_grids(matrix, name);
      add(output_error(values.data(), matrix, gram), gain_.calibrated[p]);
    }
    meter_.add(1);
  }

  static void add(const OutputError& part, OutputError& sum) {
    sum.error += part.error;
    sum.output += part.output;
  }
  void add(const OutputError& part, double& mean) const {
    if (part.output > 0) mean += part.error / part.output / config_.layers;
  }

  const std::string& name_of(const WeightMatrix& matrix) const {
    return std::find_if(list_.begin(), list_.end(), [&](const NamedWeight& w) { return w.matrix == &matrix; })->name;
  }

  const WeightSource& source_;
  const ModelConfig& config_;
  ModelWeights& weights_;
  const std::vector<NamedWeight> list_;
  CalibrationGain& gain_;
  LayerRunner runner_;
  WeightMatrix& head_;
  Progress meter_;
  std::vector<float> residual_, input_, output_;  // [tokens][…]
};

}  // namespace

ModelWeights calibrate_checkpoint(const WeightSource& source, const ModelConfig& config,
                                  const QuantizeOptions& options, const CalibrationTokens& calibration,
                                  Backend& backend, const LoadProgress& progress, CalibrationGain& gain) {
  check(config, options, calibration);
  ModelWeights weights = quantize_source(source, config, options, progress);
  Calibration(source, config, calibration, backend, weights, progress, gain).run();
  return weights;
}

}  // namespace polygraft
