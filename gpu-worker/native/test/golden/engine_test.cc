// The engine on the golden models: against transformers and peft where weights are exact, against the float64 oracle on
// the dequantized weights where they are quantized, and against itself for any batch and instruction set.
#include <algorithm>
#include <cmath>

#include "model/weight_source.h"
#include "test/check.h"
#include "test/kernels/fixture.h"
#include "test/oracle/forward.h"
#include "test/support/files.h"
#include "test/support/gguf_model.h"
#include "test/support/golden.h"

using namespace polygraft;
using fixture::Request;

namespace {

using Logits = std::vector<std::vector<float>>;  // [token][vocabulary]

// A golden model loaded under some options, and all its requests: every prompt with the greedy tokens that follow, for
// the base and for every adapter.
struct Loaded {
  LoadedModel model;
  std::vector<AdapterWeights> adapters;
  std::vector<Request> requests;
  std::vector<const golden::Expected*> expected;  // by request

  // `path`: of the same model, if not in its folder.
  Loaded(const golden::GoldenModel& source, const QuantizeOptions& options, const std::string& path = "")
      : model(load_model(path.empty() ? source.dir : path, options, "", {})) {
    for (const std::string& name : source.adapters)
      adapters.push_back(load_adapter(source.adapter_dir(name), model.config));
    add(source.expected.at("base"), -1);
    for (size_t i = 0; i < source.adapters.size(); ++i)
      add(source.expected.at(source.adapters[i]), static_cast<int>(i));
  }

  std::vector<Logits> run(const Kernels& kernels, const BackendOptions& options, const std::vector<Request>& batch,
                          const std::vector<uint32_t>& chunks) const {
    fixture::Engine engine(kernels, model.config, model.weights, adapters, options);
    return fixture::run(engine, batch, chunks);
  }

 private:
  void add(const std::vector<golden::Expected>& list, int adapter) {
    for (const golden::Expected& e : list) {
      std::vector<uint32_t> tokens = e.prompt;
      tokens.insert(tokens.end(), e.greedy.begin(), e.greedy.end());
      requests.push_back({std::move(tokens), adapter});
      expected.push_back(&e);
    }
  }
};

constexpr QuantizeOptions kExact = {Scheme::kF32, 32, 32};
BackendOptions exact_backend() { return {.isa = {}, .threads = 2, .activations = PG_ACTIVATIONS_F32, .kv = PG_KV_F32}; }
BackendOptions default_backend() {
  return {.isa = {}, .threads = 2, .activations = PG_ACTIVATIONS_INT8, .kv = PG_KV_F16};
}
const std::vector<uint32_t> kChunks = {50, 1, 30, 64};

template <class Row>
uint32_t argmax(const Row& row) {
  return static_cast<uint32_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

// The largest difference of a row, relative to its largest value.
template <class Row>
double relative_difference(const std::vector<float>& actual, const Row& expected) {
  double largest = 0, difference = 0;
  for (size_t v = 0; v < actual.size(); ++v) {
    largest = std::max(largest, std::abs(static_cast<double>(expected[v])));
    difference = std::max(difference, std::abs(static_cast<double>(actual[v]) - expected[v]));
    if (!std::isfinite(actual[v])) return HUGE_VAL;
  }
  return difference / largest;
}

// Kullback-Leibler divergence of the actual next-token distribution from the expected one, in nats.
double divergence(const std::vector<float>& actual, const std::vector<double>& expected) {
  const auto log_sum = [](const auto& row) {
    const double top = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (const double v : row) sum += std::exp(v - top);
    return top + std::log(sum);
  };
  const double a = log_sum(actual), e = log_sum(expected);
  double result = 0;
  for (size_t v = 0; v < actual.size(); ++v)
    result += std::exp(expected[v] - e) * ((expected[v] - e) - (static_cast<double>(actual[v]) - a));
  return result;
}

std::vector<std::vector<std::vector<double>>> oracle_logits(const Loaded& loaded) {
  const oracle::Model model(loaded.model.config, loaded.model.weights);
  std::vector<std::vector<std::vector<double>>> all;
  for (const Request& r : loaded.requests)
    all.push_back(model.forward(r.tokens, r.adapter < 0 ? nullptr : &loaded.adapters[static_cast<size_t>(r.adapter)]));
  return all;
}

}  // namespace

TEST(f32_engine_agrees_with_transformers_and_peft) {
  for (const golden::GoldenModel& source : golden::models()) {
    const Loaded loaded(source, kExact);
    for (const Kernels* kernels : fixture::all_kernels()) {
      const auto logits = loaded.run(*kernels, exact_backend(), loaded.requests, kChunks);
      double worst = 0;
      for (size_t i = 0; i < logits.size(); ++i) {
        const golden::Expected& e = *loaded.expected[i];
        for (size_t t = 0; t < e.prompt.size(); ++t)
          worst = std::max(worst, relative_difference(logits[i][t], e.logits[t]));
        for (size_t t = 0; t < e.greedy.size(); ++t) CHECK_EQ(argmax(logits[i][e.prompt.size() - 1 + t]), e.greedy[t]);
      }
      CHECK_NEAR(worst, 0, 1e-4);
    }
  }
}

// GGUF files permute the rows of q and k, and have Llama 3's scaling of RoPE as a divisor for each pair of dimensions.
TEST(gguf_files_agree_with_transformers) {
  for (const golden::GoldenModel& source : golden::models()) {
    if (source.name != "llama3" && source.name != "qwen2") continue;
    const files::TempDir dir;
    const std::string path = dir / "model.gguf";
    files::write_file(path, files::gguf_of_folder(source.dir, files::GgufMatrices::kF32));
    const Loaded loaded(source, kExact, path);
    const auto logits = loaded.run(*fixture::all_kernels().front(), exact_backend(), loaded.requests, kChunks);
    double worst = 0;
    for (size_t i = 0; i < logits.size(); ++i)
      for (size_t t = 0; t < loaded.expected[i]->prompt.size(); ++t)
        worst = std::max(worst, relative_difference(logits[i][t], loaded.expected[i]->logits[t]));
    CHECK_NEAR(worst, 0, 1e-4);
  }
}

// Quantized weights and exact activations: what remains is float32 rounding.
TEST(quantized_weights_agree_with_the_oracle) {
  const QuantizeOptions options[] = {{Scheme::kW4, 32, 8}, {Scheme::kW4, 128, 4}, {Scheme::kNf4, 64, 8}, {Scheme::kW8, 32, 8}};
  for (const golden::GoldenModel& source : golden::models())
    for (const QuantizeOptions& quantization : options) {
      const Loaded loaded(source, quantization);
      const auto expected = oracle_logits(loaded);
      const auto logits = loaded.run(*fixture::all_kernels().front(), exact_backend(), loaded.requests, kChunks);
      double worst = 0;
      for (size_t i = 0; i < logits.size(); ++i)
        for (size_t t = 0; t < logits[i].size(); ++t)
          worst = std::max(worst, relative_difference(logits[i][t], expected[i][t]));
      CHECK_NEAR(worst, 0, 1e-4);
    }
}

// Checkpoints that are in 4 bits already, as gptqmodel and bitsandbytes save them, are served on their own grid: what
// they say is what transformers says of the weights that the tool itself unpacks, save for what fp16 cannot hold: sums
// of nested scales, and minimums, products of scales and zero points that are not 8.
TEST(four_bit_checkpoints_agree_with_their_tools) {
  const struct {
    const char* name;
    OwnGrid grid;
    double bound;
  } cases[] = {{"llama2-gptq", {Scheme::kW4, 32}, 1e-4},
               {"llama2-gptq-asymmetric", {Scheme::kW4, 32}, 1e-2},
               {"llama2-gptq-act-order", {Scheme::kW4, 32, true}, 1e-4},
               {"llama2-awq", {Scheme::kW4, 32}, 1e-2},
               {"llama2-nf4", {Scheme::kNf4, 64}, 1e-4},
               {"llama2-nf4-nested", {Scheme::kNf4, 64}, 1e-2}};
  for (const auto& [name, grid, bound] : cases) {
    const auto source = std::find_if(golden::models().begin(), golden::models().end(),
                                     [&](const golden::GoldenModel& model) { return model.name == name; });
    if (source == golden::models().end()) continue;  // PG_GOLDEN names other models
    const Loaded loaded(*source, {Scheme::kW4, 128, 32});
    const WeightMatrix& w = loaded.model.weights.layers[0].projections[0];
    CHECK((OwnGrid{w.scheme, w.group, !w.order.empty()} == grid));
    const auto logits = loaded.run(*fixture::all_kernels().front(), exact_backend(), loaded.requests, kChunks);
    double worst = 0;
    for (size_t i = 0; i < logits.size(); ++i)
      for (size_t t = 0; t < loaded.expected[i]->prompt.size(); ++t)
        worst = std::max(worst, relative_difference(logits[i][t], loaded.expected[i]->logits[t]));
    CHECK_NEAR(worst, 0, bound);
  }
}

// As served: int8 activations and fp16 keys and values. Each op's error is bounded in the kernel tests; over a model
// the errors add up, and what counts is the distribution. The bounds are twice the worst that was measured: 0.0073
// nats, 7 % of tokens. Random models have flat distributions and no redundancy: trained ones do better.
TEST(int8_activations_keep_the_distribution) {
  for (const golden::GoldenModel& source : golden::models())
    for (const Scheme scheme : {Scheme::kW4, Scheme::kNf4}) {
      const Loaded loaded(source, {scheme, 32, 8});
      const auto expected = oracle_logits(loaded);
      const auto logits = loaded.run(*fixture::all_kernels().front(), default_backend(), loaded.requests, kChunks);
      double total = 0;
      size_t rows = 0, agree = 0;
      for (size_t i = 0; i < logits.size(); ++i)
        for (size_t t = 0; t < logits[i].size(); ++t, ++rows) {
          total += divergence(logits[i][t], expected[i][t]);
          agree += argmax(logits[i][t]) == argmax(expected[i][t]);
        }
      CHECK(total / static_cast<double>(rows) < 0.015);
      CHECK(agree >= rows * 86 / 100);
    }
}

// One step with every prompt and every adapter gives each request the bits that it gets alone, token by token.
TEST(a_mixed_batch_equals_each_request_alone) {
  for (const golden::GoldenModel& source : golden::models()) {
    const Loaded loaded(source, {Scheme::kW4, 32, 8});
    for (const Kernels* kernels : fixture::all_kernels()) {
      const auto together = loaded.run(*kernels, default_backend(), loaded.requests, kChunks);
      for (size_t i = 0; i < loaded.requests.size(); ++i) {
        const auto alone = loaded.run(*kernels, default_backend(), {loaded.requests[i]}, {7, 1});
        bool same = alone[0].size() == together[i].size();
        for (size_t t = 0; same && t < alone[0].size(); ++t) same = fixture::same_bits(alone[0][t], together[i][t]);
        CHECK(same);
      }
    }
  }
}

TEST(every_instruction_set_gives_the_same_bits) {
  for (const golden::GoldenModel& source : golden::models())
    for (const bool exact : {false, true}) {
      const Loaded loaded(source, exact ? kExact : QuantizeOptions{Scheme::kW4, 64, 8});
      const BackendOptions options = exact ? exact_backend() : default_backend();
      const auto kernels = fixture::all_kernels();
      const auto reference = loaded.run(*kernels.back(), options, loaded.requests, kChunks);
      for (size_t other = 0; other + 1 < kernels.size(); ++other) {
        const auto logits = loaded.run(*kernels[other], options, loaded.requests, kChunks);
        bool same = true;
        for (size_t i = 0; i < logits.size(); ++i)
          for (size_t t = 0; t < logits[i].size(); ++t)
            same = same && fixture::same_bits(logits[i][t], reference[i][t]);
        CHECK(same);
      }
    }
}
