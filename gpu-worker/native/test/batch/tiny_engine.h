// A tiny random model with its backend, and ways to run requests on it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "batch/adapter_slots.h"
#include "batch/step_runner.h"
#include "model/backend.h"
#include "model/loader.h"

namespace polygraft::test {

inline constexpr uint32_t kContext = 512;

inline ModelConfig tiny_config() {
  ModelConfig config;
  config.architecture = "llama";
  config.vocab_size = 96;
  config.hidden_size = 64;
  config.ffn_size = 96;
  config.layers = 2;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 16;
  config.max_position = kContext;
  config.eos_token_ids = {95};
  return config;
}

inline std::vector<float> normals(std::mt19937& random, size_t count, float deviation) {
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

inline ModelWeights tiny_weights(const ModelConfig& config, uint32_t seed) {
  std::mt19937 random(seed);
  const auto matrix = [&](uint32_t n, uint32_t k, Scheme scheme, uint32_t group, float deviation) {
    return quantize(normals(random, size_t{n} * k, deviation).data(), n, k, scheme, group);
  };
  ModelWeights weights;
  weights.embedding = matrix(config.vocab_size, config.hidden_size, Scheme::kW8, 64, 1);
  weights.head = matrix(config.vocab_size, config.hidden_size, Scheme::kW8, 64, 0.4f);
  weights.final_norm.assign(config.hidden_size, 1);
  weights.layers.resize(config.layers);
  for (LayerWeights& layer : weights.layers) {
    layer.attention_norm.assign(config.hidden_size, 1);
    layer.mlp_norm.assign(config.hidden_size, 1);
    for (size_t p = 0; p < std::size(layer.projections); ++p) {
      const auto [n, k] = projection_shape(config, static_cast<Projection>(p));
      layer.projections[p] = matrix(n, k, Scheme::kW4, 32, 0.2f);
    }
  }
  return weights;
}

inline std::unique_ptr<Backend> tiny_backend() {
  BackendOptions options;
  options.threads = 1;
  return create_cpu_backend(options);
}

// A random adapter of `rank` on the projections of `mask` (bits as in pg_adapter_info). `deviation` of its B: a huge
// one makes logits that are not finite.
inline AdapterWeights tiny_adapter(const ModelConfig& config, uint32_t seed, uint32_t rank, uint32_t mask,
                                   float deviation = 0.3f) {
  std::mt19937 random(seed);
  const auto bytes = [](const std::vector<float>& values) {
    const auto* const data = reinterpret_cast<const uint8_t*>(values.data());
    return std::vector<uint8_t>(data, data + values.size() * sizeof(float));
  };
  AdapterWeights adapter;
  adapter.max_rank = rank;
  adapter.modules.resize(size_t{config.layers} * 7);
  for (size_t i = 0; i < adapter.modules.size(); ++i) {
    if ((mask >> (i % 7) & 1) == 0) continue;
    const auto [n, k] = projection_shape(config, static_cast<Projection>(i % 7));
    adapter.modules[i] = {.rank = rank,
                          .scaling = 1,
                          .type = AdapterType::kF32,
                          .a = bytes(normals(random, size_t{rank} * k, 0.2f)),
                          .b = bytes(normals(random, size_t{n} * rank, deviation))};
  }
  return adapter;
}

// What became of one request, bit for bit.
struct Outcome {
  bool started = false;
  uint32_t cached = 0;  // prompt tokens from the prefix cache
  std::vector<pg_event> scores, tokens;
  std::vector<pg_alternative> alternatives;  // of scores and tokens in their order
  std::vector<uint32_t> replaced;            // slots of the contents that took over
  size_t tokens_before = 0;                  // the last of them
  int ends = 0;
  uint32_t last_kind = 0, last_value = 0;
};
using Outcomes = std::map<uint64_t, Outcome>;

inline void collect(const Report& report, Outcomes& outcomes) {
  for (const pg_event& event : report.events) {
    Outcome& outcome = outcomes[event.id];
    if (event.kind == PG_EVENT_STARTED) outcome.started = true, outcome.cached = event.value;
    if (event.kind == PG_EVENT_PROMPT_SCORE) outcome.scores.push_back(event);
    if (event.kind == PG_EVENT_REPLACED) {
      outcome.replaced.push_back(event.value);
      outcome.tokens_before = outcome.tokens.size();
    }
    if (event.kind == PG_EVENT_TOKEN) outcome.tokens.push_back(event);
    for (uint32_t i = 0; i < event.alternatives; ++i) {
      outcome.alternatives.push_back(report.alternatives[event.first_alternative + i]);
    }
    if (event.kind == PG_EVENT_FINISHED || event.kind == PG_EVENT_FAILED) {
      ++outcome.ends;
      outcome.last_kind = event.kind;
      outcome.last_value = event.value;
    }
  }
}

// Whether `part` says the same as the beginning of `all`.
inline bool is_beginning(const Outcome& part, const Outcome& all) {
  const auto begins = [](const std::vector<pg_event>& a, const std::vector<pg_event>& b) {
    if (a.size() > b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i) {
      if (a[i].token != b[i].token || a[i].logprob != b[i].logprob || a[i].alternatives != b[i].alternatives)
        return false;
    }
    return true;
  };
  if (!begins(part.scores, all.scores) || !begins(part.tokens, all.tokens)) return false;
  if (part.alternatives.size() > all.alternatives.size()) return false;
  for (size_t i = 0; i < part.alternatives.size(); ++i) {
    if (part.alternatives[i].token != all.alternatives[i].token) return false;
    if (part.alternatives[i].logprob != all.alternatives[i].logprob) return false;
  }
  return true;
}

inline bool same(const Outcome& a, const Outcome& b) {
  return is_beginning(a, b) && is_beginning(b, a) && a.last_kind == b.last_kind && a.last_value == b.last_value;
}

// Model, backend and adapters, shared by many runners.
class TinyEngine {
 public:
  explicit TinyEngine(uint64_t adapter_bytes = uint64_t{64} << 20)
      : config(tiny_config()),
        backend(tiny_backend()),
        model(backend->upload_model(config, tiny_weights(config, 1), [](uint64_t, uint64_t) {})),
        slots(*backend, config, adapter_bytes) {}

  std::unique_ptr<KvPool> kv_pool(uint32_t blocks) { return backend->create_kv_pool(config, blocks); }

  // The outcome of a request that has the engine to itself.
  Outcome alone(const SequenceOptions& options) {
    const auto kv = kv_pool(kContext / kKvBlockTokens);
    StepRunner runner(config, *backend, *model, *kv, {.max_sequences = 1, .max_step_tokens = kContext}, kContext);
    Report report;
    runner.submit(options, report);
    while (runner.step(report)) {
    }
    Outcomes outcomes;
    collect(report, outcomes);
    return outcomes[options.id];
  }

  ModelConfig config;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<DeviceModel> model;
  AdapterSlots slots;
};

inline SequenceOptions request(uint64_t id, std::vector<uint32_t> prompt, uint32_t max_tokens) {
  SequenceOptions options;
  options.id = id;
  options.prompt = std::move(prompt);
  options.max_tokens = max_tokens;
  return options;
}

}  // namespace polygraft::test
