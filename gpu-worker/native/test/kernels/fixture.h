// Random models, adapters and steps for the kernel tests, all from explicit seeds.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cpu/cpu_backend.h"
#include "cpu/isa.h"
#include "model/graph.h"
#include "model/half.h"
#include "model/loader.h"
#include "test/oracle/forward.h"

namespace polygraft::fixture {

// Uniform in [-1, 1), the same on every standard library.
class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  float uniform() { return static_cast<float>(engine_() / 2147483648.0 - 1.0); }
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(engine_() % n); }
  std::vector<float> floats(size_t n, float scale) {
    std::vector<float> v(n);
    for (float& x : v) x = scale * uniform();
    return v;
  }

 private:
  std::mt19937 engine_;
};

// Sizes that are multiples of nothing: 16-column tiles and 64-k blocks all have tails.
inline ModelConfig odd_config() {
  ModelConfig c;
  c.architecture = "llama";
  c.vocab_size = 139;
  c.hidden_size = 100;
  c.ffn_size = 172;
  c.layers = 2;
  c.heads = 6;
  c.kv_heads = 2;
  c.head_dim = 22;
  c.max_position = 512;
  return c;
}

struct WeightOptions {
  Scheme scheme = Scheme::kW4;
  uint32_t group = 32;
  Scheme head = Scheme::kW8;
  bool mixed = false;  // instead: several schemes, groups and orders of inputs in a layer
};

// What a matrix of a mixed model is like: an order is drawn anew for each number above 0.
struct Mixture {
  Scheme scheme;
  uint32_t group;
  uint32_t order = 0;
};
// By layer modulo 2 and projection. Neighbours share all, the group and order alone, the scheme alone, or nothing.
inline constexpr Mixture kMixtures[2][7] = {
    {{Scheme::kW4, 32}, {Scheme::kW8, 32}, {Scheme::kW4, 32, 1}, {Scheme::kW8, 32}, {Scheme::kW4, 32}, {Scheme::kW8, 32},
     {Scheme::kW4, 64, 2}},
    {{Scheme::kW4, 128, 1}, {Scheme::kW4, 128, 2}, {Scheme::kW4, 128, 1}, {Scheme::kNf4, 64, 3}, {Scheme::kNf4, 64, 1},
     {Scheme::kW4, 64, 1}, {Scheme::kF32, 0}}};

inline std::vector<uint32_t> shuffled(uint32_t n, Random& random) {
  std::vector<uint32_t> order(n);
  for (uint32_t i = 0; i < n; ++i) order[i] = i;
  for (uint32_t i = n; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

inline ModelWeights random_weights(const ModelConfig& c, const WeightOptions& options, uint32_t seed) {
  Random random(seed);
  const auto matrix = [&](uint32_t n, uint32_t k, Scheme scheme, uint32_t group) {
    const std::vector<float> values = random.floats(static_cast<size_t>(n) * k, 2.0f / std::sqrt(static_cast<float>(k)));
    return quantize(values.data(), n, k, scheme, group);
  };
  const auto norm = [&](uint32_t n) {
    std::vector<float> v = random.floats(n, 0.5f);
    for (float& x : v) x += 1.0f;
    return v;
  };
  ModelWeights w;
  w.embedding = matrix(c.vocab_size, c.hidden_size, options.head, 64);
  if (!c.tied_head) w.head = matrix(c.vocab_size, c.hidden_size, options.head, 64);
  w.final_norm = norm(c.hidden_size);
  for (uint32_t l = 0; l < c.layers; ++l) {
    LayerWeights layer;
    layer.attention_norm = norm(c.hidden_size);
    layer.mlp_norm = norm(c.hidden_size);
    if (c.qk_norm) {
      layer.q_norm = norm(c.head_dim);
      layer.k_norm = norm(c.head_dim);
    }
    for (uint32_t p = 0; p < 7; ++p) {
      const Shape2 shape = projection_shape(c, static_cast<Projection>(p));
      const Mixture mixture = options.mixed ? kMixtures[l % 2][p] : Mixture{options.scheme, options.group};
      layer.projections[p] = matrix(shape.n, shape.k, mixture.scheme, mixture.group);
      if (mixture.order != 0) {
        Random of_order(mixture.order);
        layer.projections[p].order = shuffled(shape.k, of_order);
      }
      const bool bias = p < 3 ? c.qkv_bias : p == 3 ? c.o_bias : c.mlp_bias;
      if (bias) layer.biases[p] = random.floats(shape.n, 0.5f);
    }
    w.layers.push_back(std::move(layer));
  }
  return w;
}

inline std::vector<uint8_t> adapter_bytes(const std::vector<float>& values, AdapterType type) {
  std::vector<uint8_t> bytes(values.size() * (type == AdapterType::kF32 ? 4 : 2));
  for (size_t i = 0; i < values.size(); ++i) {
    if (type == AdapterType::kF32) {
      std::memcpy(&bytes[4 * i], &values[i], 4);
    } else {
      const uint16_t h = type == AdapterType::kF16 ? float_to_fp16(values[i]) : float_to_bf16(values[i]);
      std::memcpy(&bytes[2 * i], &h, 2);
    }
  }
  return bytes;
}

inline std::vector<float> adapter_values(const std::vector<uint8_t>& bytes, AdapterType type) {
  const size_t width = type == AdapterType::kF32 ? 4 : 2;
  std::vector<float> values(bytes.size() / width);
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t h = 0;
    std::memcpy(width == 4 ? static_cast<void*>(&values[i]) : &h, &bytes[width * i], width);
    if (width == 2) values[i] = type == AdapterType::kF16 ? fp16_to_float(h) : bf16_to_float(h);
  }
  return values;
}

// What int8 leaves of a module [shape.n][shape.k], by the definition: a scale for each rank row and 128 k of A, and for
// each 16 outputs of B.
inline AdapterModule held_in_int8(const AdapterModule& module, Shape2 shape) {
  const auto round = [](std::vector<float>& values, size_t rows, size_t columns, size_t high, size_t wide) {
    for (size_t top = 0; top < rows; top += high)
      for (size_t left = 0; left < columns; left += wide) {
        float amax = 0;
        const auto each = [&](const auto& use) {
          for (size_t r = top; r < std::min(rows, top + high); ++r)
            for (size_t c = left; c < std::min(columns, left + wide); ++c) use(values[r * columns + c]);
        };
        each([&](float v) { amax = std::max(amax, std::abs(v)); });
        each([&](float& v) { v = amax == 0 ? 0 : std::nearbyint(v * (127 / amax)) * (amax / 127); });
      }
  };
  AdapterModule out = module;
  out.type = AdapterType::kF32;
  std::vector<float> a = adapter_values(module.a, module.type), b = adapter_values(module.b, module.type);
  round(a, module.rank, shape.k, 1, 128);
  round(b, shape.n, module.rank, 16, module.rank);
  out.a = adapter_bytes(a, out.type);
  out.b = adapter_bytes(b, out.type);
  return out;
}
inline AdapterWeights held_in_int8(AdapterWeights adapter, const ModelConfig& config) {
  for (size_t i = 0; i < adapter.modules.size(); ++i)
    if (adapter.modules[i].rank > 0)
      adapter.modules[i] = held_in_int8(adapter.modules[i], projection_shape(config, static_cast<Projection>(i % 7)));
  return adapter;
}

// `targets`: bit for each Projection. `ranks` are taken in turn, so that modules differ.
inline AdapterWeights random_adapter(const ModelConfig& c, uint32_t targets, const std::vector<uint32_t>& ranks,
                                     AdapterType type, uint32_t seed) {
  Random random(seed);
  AdapterWeights a;
  a.modules.resize(static_cast<size_t>(c.layers) * 7);
  for (size_t i = 0; i < a.modules.size(); ++i) {
    if ((targets >> (i % 7) & 1) == 0) continue;
    const Shape2 shape = projection_shape(c, static_cast<Projection>(i % 7));
    AdapterModule& m = a.modules[i];
    m.rank = ranks[i % ranks.size()];
    m.scaling = 2.0f;
    m.type = type;
    m.a = adapter_bytes(random.floats(static_cast<size_t>(m.rank) * shape.k, 1.0f / std::sqrt(static_cast<float>(shape.k))),
                        type);
    m.b = adapter_bytes(random.floats(static_cast<size_t>(shape.n) * m.rank, 0.5f / std::sqrt(static_cast<float>(m.rank))),
                        type);
    a.max_rank = std::max(a.max_rank, m.rank);
  }
  return a;
}

}  // namespace polygraft::fixture
namespace polygraft {
extern const AmxKernels kKernels_scalar_amx;  // the linears by AMX, on emulated tile registers
extern const AmxKernels kKernels_avx512_amx;  // likewise, with the AVX-512 layer
extern const Kernels kKernelsEmulated;        // the AVX-512 layer on portable intrinsics
}
namespace polygraft::fixture {

// All kernels that can run here, scalar last.
inline std::vector<const Kernels*> all_kernels() {
  std::vector<const Kernels*> kernels = kernel_levels().kernels;
  static const Kernels scalar_amx = with_amx(kKernelsScalar, kKernels_scalar_amx, "scalar, emulated tiles");
  kernels.insert(kernels.begin(), &scalar_amx);
#if defined(PG_X86)
  if (std::find(kernels.begin(), kernels.end(), &kKernelsAvx512Vnni) != kernels.end()) {
    static const Kernels avx512_amx = with_amx(kKernelsAvx512Vnni, kKernels_avx512_amx, "avx512vnni, emulated tiles");
    kernels.insert(kernels.begin(), &avx512_amx);
  }
#endif
#if defined(PG_EMULATED_AVX512)
  kernels.insert(kernels.begin(), &kKernelsEmulated);
#endif
  return kernels;
}

// A backend with a model, and adapters on it.
struct Engine {
  ModelConfig config;
  std::unique_ptr<CpuBackend> backend;
  std::unique_ptr<DeviceModel> model;
  std::vector<std::unique_ptr<DeviceAdapter>> adapters;

  Engine(const Kernels& kernels, const ModelConfig& c, const ModelWeights& weights,
         const std::vector<AdapterWeights>& adapter_weights, BackendOptions options)
      : config(c), backend(std::make_unique<CpuBackend>(kernels, options)) {
    model = backend->upload_model(config, weights, {});
    for (const AdapterWeights& a : adapter_weights) adapters.push_back(backend->upload_adapter(config, a));
  }
};

// A request of a test: tokens, and an adapter by index or -1.
struct Request {
  std::vector<uint32_t> tokens;
  int adapter = -1;
};

// Runs requests in steps: each takes its next `chunks[i]` tokens in step i (the last chunk size repeats), all requests
// side by side. Returns the logits of every token of every request.
inline std::vector<std::vector<std::vector<float>>> run(Engine& engine, const std::vector<Request>& requests,
                                                        const std::vector<uint32_t>& chunks) {
  std::vector<std::vector<uint32_t>> blocks(requests.size());
  uint32_t total_blocks = 0, rows = 0;
  for (const Request& r : requests) rows += static_cast<uint32_t>(r.tokens.size());
  // Blocks are dealt in turn and backwards, so that sequences do not lie in order.
  for (uint32_t b = 0; b < 8; ++b)
    for (size_t i = 0; i < requests.size(); ++i)
      if (b * kKvBlockTokens < requests[i].tokens.size()) blocks[i].push_back(total_blocks++);
  for (auto& list : blocks)
    for (uint32_t& b : list) b = total_blocks - 1 - b;
  const auto kv = engine.backend->create_kv_pool(engine.config, total_blocks);
  Graph graph(engine.config, *engine.backend, *engine.model, rows);

  std::vector<std::vector<std::vector<float>>> logits(requests.size());
  for (size_t step = 0;; ++step) {
    const uint32_t chunk = chunks[std::min(step, chunks.size() - 1)];
    std::vector<uint32_t> tokens, output_rows;
    std::vector<SequenceSpan> sequences;
    std::vector<size_t> owners;
    for (size_t i = 0; i < requests.size(); ++i) {
      const uint32_t done = static_cast<uint32_t>(logits[i].size());
      const uint32_t count = std::min(chunk, static_cast<uint32_t>(requests[i].tokens.size()) - done);
      if (count == 0) continue;
      sequences.push_back({.first_row = static_cast<uint32_t>(tokens.size()),
                           .count = count,
                           .first_position = done,
                           .kv_blocks = blocks[i],
                           .adapter = requests[i].adapter < 0 ? nullptr : engine.adapters[requests[i].adapter].get()});
      for (uint32_t t = 0; t < count; ++t) {
        output_rows.push_back(static_cast<uint32_t>(tokens.size()));
        owners.push_back(i);
        tokens.push_back(requests[i].tokens[done + t]);
      }
    }
    if (tokens.empty()) return logits;
    const StepBatch batch{.tokens = tokens, .sequences = sequences, .output_rows = output_rows};
    const std::span<const float> result = graph.forward(batch, *kv);
    for (size_t row = 0; row < owners.size(); ++row) {
      const auto first = result.begin() + static_cast<ptrdiff_t>(row * engine.config.vocab_size);
      logits[owners[row]].emplace_back(first, first + engine.config.vocab_size);
    }
  }
}

inline std::vector<uint32_t> random_tokens(const ModelConfig& c, size_t n, uint32_t seed) {
  Random random(seed);
  std::vector<uint32_t> tokens(n);
  for (uint32_t& t : tokens) t = random.below(c.vocab_size);
  return tokens;
}

// Equal bits, so that -0 and NaN count too.
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), 4 * a.size()) == 0;
}

}  // namespace polygraft::fixture
