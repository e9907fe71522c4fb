// The oracle, the loader and the adapter reader against Hugging Face transformers and peft.
#include <cmath>
#include <optional>

#include "model/loader.h"
#include "test/check.h"
#include "test/oracle/forward.h"
#include "test/support/golden.h"

using namespace polygraft;

namespace {

double largest_magnitude(const std::vector<std::vector<float>>& rows) {
  double largest = 0;
  for (const auto& row : rows)
    for (const float v : row) largest = std::max(largest, std::abs(static_cast<double>(v)));
  return largest;
}

}  // namespace

TEST(all_golden_models_are_there) {
  std::vector<std::string> names;
  for (const golden::GoldenModel& model : golden::models()) names.push_back(model.name);
  CHECK(names == (std::vector<std::string>{"llama-linear", "llama2", "llama2-awq", "llama2-gptq",
                                           "llama2-gptq-act-order", "llama2-gptq-asymmetric", "llama2-nf4",
                                           "llama2-nf4-nested", "llama3", "mistral", "qwen2", "qwen3"}));
}

// transformers computes in float32, so this measures its rounding, too: 2e-5 of the largest logit.
TEST(oracle_agrees_with_transformers_and_peft) {
  for (const golden::GoldenModel& model : golden::models()) {
    const LoadedModel loaded = load_model(model.dir, {Scheme::kF32, 32, 32}, "", {});
    const oracle::Model reference(loaded.config, loaded.weights);
    for (const auto& [name, expected] : model.expected) {
      std::optional<AdapterWeights> adapter;
      if (name != "base") adapter = load_adapter(model.adapter_dir(name), loaded.config);
      for (const golden::Expected& e : expected) {
        const auto logits = reference.forward(e.prompt, adapter ? &*adapter : nullptr);
        const double bound = 2e-5 * largest_magnitude(e.logits);
        double worst = 0;
        for (size_t t = 0; t < logits.size(); ++t)
          for (size_t v = 0; v < logits[t].size(); ++v)
            worst = std::max(worst, std::abs(logits[t][v] - e.logits[t][v]));
        if (!(worst <= bound))
          check::fail(__FILE__, __LINE__,
                      model.name + "/" + name + ": off by " + check::show(worst) + ", bound " + check::show(bound));
      }
    }
  }
}

TEST(oracle_greedy_tokens_are_those_of_transformers) {
  for (const golden::GoldenModel& model : golden::models()) {
    const LoadedModel loaded = load_model(model.dir, {Scheme::kF32, 32, 32}, "", {});
    const oracle::Model reference(loaded.config, loaded.weights);
    const golden::Expected& e = model.expected.at("base").front();
    CHECK(reference.greedy(e.prompt, static_cast<uint32_t>(e.greedy.size()), nullptr) == e.greedy);
  }
}

// What the adapters add must be far above the bound, or the test above would pass without them.
TEST(adapters_change_the_logits) {
  for (const golden::GoldenModel& model : golden::models())
    for (const std::string& name : model.adapters) {
      const golden::Expected& with = model.expected.at(name).back();
      const golden::Expected& without = model.expected.at("base").back();
      double change = 0;
      for (size_t v = 0; v < with.logits.back().size(); ++v)
        change = std::max(change, std::abs(static_cast<double>(with.logits.back()[v]) - without.logits.back()[v]));
      CHECK(change > 0.05 * largest_magnitude(without.logits));
    }
}
