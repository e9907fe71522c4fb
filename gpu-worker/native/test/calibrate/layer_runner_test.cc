#include "calibrate/layer_runner.h"

#include <algorithm>
#include <cmath>

#include "model/loader.h"
#include "test/check.h"
#include "test/oracle/forward.h"
#include "test/support/golden.h"

using namespace polygraft;

// All layers one by one give what the model gives: last hidden states, normed and multiplied by the head, are the logits
// of the f64 oracle, for sequences of a length that is no multiple of anything.
TEST(layer_by_layer_is_the_whole_model) {
  BackendOptions options;
  options.threads = 2;
  options.activations = PG_ACTIVATIONS_F32;
  options.kv = PG_KV_F32;
  const auto backend = create_cpu_backend(options);
  for (const golden::GoldenModel& golden : golden::models()) {
    const LoadedModel model = load_model(golden.dir, {Scheme::kF32, 32, 32}, "", {});
    const ModelConfig& config = model.config;
    const uint32_t sequence = 11, tokens = 2 * sequence + 5, hidden = config.hidden_size;
    std::vector<uint32_t> ids(tokens);
    for (uint32_t i = 0; i < tokens; ++i) ids[i] = (i * 37 + 11) % config.vocab_size;

    std::vector<float> residual(size_t{tokens} * hidden), x, y;
    for (uint32_t t = 0; t < tokens; ++t)
      for (uint32_t c = 0; c < hidden; ++c)
        residual[size_t{t} * hidden + c] = dequantize(model.weights.embedding, ids[t], c);
    LayerRunner runner(config, *backend, sequence);
    for (const LayerWeights& layer : model.weights.layers) {
      runner.load(layer);
      runner.normalize(0, residual, x);
      runner.attend(x, y);
      runner.add_attention(y, residual);
      runner.normalize(1, residual, x);
      runner.gate_up(x, y);
      runner.add_mlp(y, residual);
    }

    const oracle::Model exact(config, model.weights);
    const oracle::Dense head = oracle::dense(config.tied_head ? model.weights.embedding : model.weights.head);
    for (uint32_t first = 0; first < tokens; first += sequence) {
      const uint32_t count = std::min(sequence, tokens - first);
      const auto expected = exact.forward(std::span(ids).subspan(first, count), nullptr);
      for (uint32_t t = 0; t < count; ++t) {
        const float* const row = residual.data() + size_t{first + t} * hidden;
        double square = 0;
        for (uint32_t c = 0; c < hidden; ++c) square += double{row[c]} * row[c];
        std::vector<double> normed(hidden);
        for (uint32_t c = 0; c < hidden; ++c)
          normed[c] = row[c] * double{model.weights.final_norm[c]} / std::sqrt(square / hidden + config.rms_eps);
        const auto logits = oracle::multiply(head, normed);
        for (uint32_t v = 0; v < config.vocab_size; ++v) CHECK_NEAR(logits[v], expected[t][v], 2e-3);
      }
    }
  }
}
