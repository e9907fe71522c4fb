#include "calibrate/calibrate.h"

#include <map>

#include "calibrate/weight_error.h"
#include "test/check.h"
#include "test/support/golden.h"
#include "test/support/weights.h"

using namespace polygraft;

namespace {

std::string golden_dir(const std::string& name) { return std::string(PG_GOLDEN_DIR) + "/" + name; }

std::unique_ptr<Backend> exact_backend(const std::string& isa = "", uint32_t threads = 2) {
  BackendOptions options;
  options.isa = isa;
  options.threads = threads;
  options.activations = PG_ACTIVATIONS_F32;
  options.kv = PG_KV_F32;
  return create_cpu_backend(options);
}

struct Result {
  ModelWeights weights;
  CalibrationGain gain;
};

Result calibrate(const std::string& name, const QuantizeOptions& options, const std::vector<uint32_t>& tokens,
                 Backend& backend, uint32_t sequence = 48, const LoadProgress& progress = {}) {
  Result result;
  const ModelConfig config = read_model_config(golden_dir(name));
  result.weights = calibrate_checkpoint(*open_model_files(golden_dir(name)).weights, config, options, {tokens, sequence}, backend,
                                        progress, result.gain);
  return result;
}

std::vector<uint32_t> some_tokens(uint32_t count) {
  std::vector<uint32_t> tokens(count);
  for (uint32_t i = 0; i < count; ++i) tokens[i] = (i * i * 7 + i * 3 + 1) % 200;
  return tokens;
}

const QuantizeOptions kW4 = {Scheme::kW4, 32, 8};

}  // namespace

TEST(every_projection_gains_and_the_rest_stays) {
  const auto backend = exact_backend();
  const auto tokens = some_tokens(1000);
  for (const char* name : {"llama-linear", "qwen3"})
    for (const QuantizeOptions& options : {kW4, QuantizeOptions{Scheme::kNf4, 64, 4}}) {
      const Result result = calibrate(name, options, tokens, *backend);
      const LoadedModel rounded = load_model(golden_dir(name), options, "", {});
      for (size_t p = 0; p < 7; ++p) {
        CHECK(result.gain.rounded[p] > 1e-4);
        CHECK(result.gain.calibrated[p] < 0.9 * result.gain.rounded[p]);
        CHECK(!weights_equal(result.weights.layers[0].projections[p], rounded.weights.layers[0].projections[p]));
        CHECK(result.weights.layers[1].biases[p] == rounded.weights.layers[1].biases[p]);
      }
      const bool tied = read_model_config(golden_dir(name)).tied_head, with_head = options.head_bits == 4;
      CHECK_EQ(weights_equal(result.weights.embedding, rounded.weights.embedding), !(tied && with_head));
      CHECK_EQ(weights_equal(result.weights.head, rounded.weights.head), tied || !with_head);
      if (with_head) {
        CHECK(result.gain.rounded[kHeadError] > 1e-4);
        CHECK(result.gain.calibrated[kHeadError] < 0.9 * result.gain.rounded[kHeadError]);
      } else {
        CHECK_EQ(result.gain.rounded[kHeadError], 0.0);
      }
      CHECK(result.weights.final_norm == rounded.weights.final_norm);
    }
}

TEST(threads_and_instruction_sets_give_the_same_bytes) {
  const auto tokens = some_tokens(300);
  const auto one = exact_backend("scalar", 1), best = exact_backend("", 3);
  for (const QuantizeOptions& options : {kW4, QuantizeOptions{Scheme::kW4, 64, 4}})
    CHECK(weights_equal(calibrate("llama-linear", options, tokens, *one).weights,
                        calibrate("llama-linear", options, tokens, *best).weights));
}

TEST(what_cannot_be_calibrated_with_is_refused) {
  const auto backend = exact_backend();
  const auto refused = [&](const char* field, const char* part, const QuantizeOptions& options,
                           const std::vector<uint32_t>& tokens, uint32_t sequence) {
    CHECK_THROWS(PG_INVALID_ARGUMENT, field, part, calibrate("mistral", options, tokens, *backend, sequence));
  };
  refused("tokens", "no tokens", kW4, {}, 16);
  refused("tokens", "token 4000000000 is not in", kW4, {1, 4000000000u}, 16);
  refused("sequence_tokens", "positions end at", kW4, {1, 2}, 1u << 30);
  refused("scheme", "4-bit", {Scheme::kF32, 32, 32}, {1, 2}, 16);
}

TEST(progress_counts_linear_groups_and_can_stop) {
  const auto backend = exact_backend();
  std::map<std::string, std::pair<uint64_t, uint64_t>> last;
  calibrate("llama2", kW4, {1, 2, 3}, *backend, 8, [&](const char* phase, uint64_t done, uint64_t total) {
    CHECK(done >= last[phase].first && done <= total);
    last[phase] = {done, total};
    return true;
  });
  CHECK_EQ(last["calibrate"].first, 8u);  // two layers of four
  CHECK_EQ(last["calibrate"].second, 8u);
  CHECK_THROWS(PG_CANCELLED, "", "calibrate",
               calibrate("llama2", kW4, {1, 2, 3}, *backend, 8,
                         [](const char* phase, uint64_t done, uint64_t) { return phase[0] != 'c' || done < 3; }));
}

TEST(the_weight_error_is_that_of_the_weights) {
  const std::string dir = golden_dir("llama-linear");
  LoadedModel plain = load_model(dir, {Scheme::kW4, 64, 8, Grid::kPlain}, "", {});
  LoadedModel searched = load_model(dir, {Scheme::kW4, 64, 8}, "", {});
  LoadedModel source = load_model(dir, {Scheme::kF32, 32, 32}, "", {});
  const WeightError of_plain = weight_error(*open_model_files(dir).weights, plain.config, plain.weights, {});
  const WeightError of_searched = weight_error(*open_model_files(dir).weights, plain.config, searched.weights, {});
  for (size_t p = 0; p < 7; ++p) {
    CHECK_EQ(of_plain.plain[p], of_plain.stored[p]);
    CHECK_EQ(of_searched.plain[p], of_plain.plain[p]);
    CHECK(of_searched.stored[p] < of_searched.plain[p]);
    double expected = 0;
    for (size_t layer = 0; layer < 2; ++layer) {
      const WeightMatrix& exact = source.weights.layers[layer].projections[p];
      double error = 0, all = 0;
      for (uint32_t r = 0; r < exact.n; ++r)
        for (uint32_t c = 0; c < exact.k; ++c) {
          const double w = dequantize(exact, r, c);
          const double e = w - dequantize(searched.weights.layers[layer].projections[p], r, c);
          error += e * e;
          all += w * w;
        }
      expected += error / all / 2;
    }
    CHECK_NEAR(of_searched.stored[p], expected, 1e-12);
  }
  const WeightError none = weight_error(*open_model_files(dir).weights, source.config, source.weights, {});
  for (size_t p = 0; p < 7; ++p) CHECK_EQ(none.stored[p], 0.0);
}
