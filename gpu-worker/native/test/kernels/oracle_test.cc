// Each op against float64, with the error bounds of its arithmetic.
#include <algorithm>

#include "test/check.h"
#include "test/kernels/fixture.h"

using namespace polygraft;
using namespace polygraft::fixture;

namespace {

constexpr double kUlp = 1.0 / (1 << 24);  // half a unit in the last place of 1.0f

// A row of int8 activations as the numerics define them, dequantized, in double.
std::vector<double> through_int8(const std::vector<float>& x, uint32_t group) {
  std::vector<double> y(x.size());
  for (size_t start = 0; start < x.size(); start += group) {
    const size_t end = std::min(x.size(), start + group);
    float amax = 0;
    for (size_t i = start; i < end; ++i) amax = std::max(amax, std::abs(x[i]));
    const float inverse = amax > 0 ? 127.0f / amax : 0.0f;
    for (size_t i = start; i < end; ++i) y[i] = std::nearbyint(x[i] * inverse) * static_cast<double>(amax / 127.0f);
  }
  return y;
}

// The input that a matrix multiplies by: rounded in groups of its own order.
std::vector<double> input_of(const WeightMatrix& w, const std::vector<float>& row, bool int8) {
  if (!int8 || w.scheme == Scheme::kF32) return {row.begin(), row.end()};
  std::vector<float> ordered(w.k);
  for (uint32_t c = 0; c < w.k; ++c) ordered[c] = row[w.input_of(c)];
  const std::vector<double> rounded = through_int8(ordered, w.group);
  std::vector<double> in(w.k);
  for (uint32_t c = 0; c < w.k; ++c) in[w.input_of(c)] = rounded[c];
  return in;
}

// The weights that a scheme multiplies by: NF4 with int8 activations has its table rounded to int8.
oracle::Dense effective(const WeightMatrix& w, bool int8) {
  oracle::Dense d = oracle::dense(w);
  if (!int8 || w.scheme != Scheme::kNf4) return d;
  for (uint32_t r = 0; r < w.n; ++r)
    for (uint32_t c = 0; c < w.k; ++c) {
      const double scale = fp16_to_float(w.scales[static_cast<size_t>(r) * w.groups() + c / w.group]);
      double& v = d.values[static_cast<size_t>(r) * w.k + w.input_of(c)];
      v = scale == 0 ? 0 : std::nearbyint(127 * (v / scale)) / 127 * scale;
    }
  return d;
}

struct LinearCase {
  Scheme scheme;
  uint32_t group;
  bool int8;
  bool mixed = false;
  uint32_t layer = 1;
  bool int8_adapters = false;
};

// scaling * B (A x) in double, and how far an engine may be off that holds v = A x as `c` says.
struct Update {
  std::vector<double> value, bound;
};
Update apply(const AdapterModule& m, uint32_t n, const std::vector<double>& x, const LinearCase& c) {
  const std::vector<float> a = adapter_values(m.a, m.type), b = adapter_values(m.b, m.type);
  Update y{std::vector<double>(n), std::vector<double>(n)};
  for (uint32_t first = 0; first < m.rank; first += 16) {
    const uint32_t last = std::min(m.rank, first + 16);
    std::vector<double> v, v_bound;
    double largest = 0;
    for (uint32_t r = first; r < last; ++r) {
      double sum = 0, magnitude = 0;
      for (size_t k = 0; k < x.size(); ++k) {
        sum += a[r * x.size() + k] * x[k];
        magnitude += std::abs(a[r * x.size() + k] * x[k]);
      }
      v.push_back(sum);
      v_bound.push_back(8 * kUlp * magnitude);
      largest = std::max(largest, std::abs(sum) + v_bound.back());
    }
    for (uint32_t i = 0; i < n; ++i)
      for (uint32_t r = first; r < last; ++r) {
        const double weight = m.scaling * b[static_cast<size_t>(i) * m.rank + r];
        y.value[i] += weight * v[r - first];
        // In int16 an element of v is off by up to half of 1 / 32767 of the largest of its sixteen.
        y.bound[i] += std::abs(weight) * (v_bound[r - first] + (c.int8_adapters ? largest * 0.501 / 32767 : 0));
      }
  }
  return y;
}

// Quantizing them takes longer than the kernels do: made once for all of them.
ModelWeights weights_of(const LinearCase& c, const ModelConfig& config) {
  return random_weights(config, {c.scheme, c.group, Scheme::kW8, c.mixed}, 5);
}

// Runs one linear op for `rows` rows cut into `counts`, and compares with float64.
void check_linear(const Kernels& kernels, const LinearCase& c, LinearGroup group, const ModelConfig& config,
                  const ModelWeights& weights, const std::vector<uint32_t>& counts, const std::vector<int>& adapter_of,
                  const std::vector<AdapterWeights>& adapters, uint32_t seed) {
  Engine engine(kernels, config, weights, adapters,
                {.isa = {},
                 .threads = 2,
                 .activations = c.int8 ? PG_ACTIVATIONS_INT8 : PG_ACTIVATIONS_F32,
                 .adapters = c.int8_adapters ? PG_ADAPTER_INT8 : PG_ADAPTER_SOURCE});
  uint32_t rows = 0;
  std::vector<SequenceSpan> sequences;
  for (size_t i = 0; i < counts.size(); ++i) {
    sequences.push_back({.first_row = rows,
                         .count = counts[i],
                         .first_position = 0,
                         .kv_blocks = {},
                         .adapter = adapter_of[i] < 0 ? nullptr : engine.adapters[adapter_of[i]].get()});
    rows += counts[i];
  }
  const std::vector<uint32_t> tokens(rows, 0);
  const uint32_t layer = c.layer;
  const std::vector<LinearPart> parts = linear_parts(config, group);
  const uint32_t k = projection_shape(config, parts[0].projection).k;
  const bool paired = group == LinearGroup::kGateUp;
  const bool residual = group == LinearGroup::kO || group == LinearGroup::kDown;
  uint32_t columns = 0;
  for (const LinearPart& part : parts) columns = paired ? part.n : columns + part.n;

  Random random(seed + 1);
  const std::vector<float> x = random.floats(static_cast<size_t>(rows) * k, 3.0f);
  const std::vector<float> before = random.floats(static_cast<size_t>(rows) * columns, 1.0f);
  std::vector<float> y = before;
  engine.backend->linear(*engine.model, {.tokens = tokens, .sequences = sequences, .output_rows = {}},
                         {.layer = layer,
                          .group = group,
                          .epilogue = paired ? Epilogue::kSwiGlu : residual ? Epilogue::kAdd : Epilogue::kStore,
                          .x = x.data(),
                          .y = y.data()});

  // What all rows share.
  std::vector<oracle::Dense> dense;
  std::vector<std::vector<AdapterModule>> modules;  // by part and adapter, as they are held
  for (const LinearPart& part : parts) {
    const size_t p = static_cast<size_t>(part.projection);
    dense.push_back(effective(weights.layers[layer].projections[p], c.int8));
    modules.emplace_back();
    for (const AdapterWeights& adapter : adapters) {
      const AdapterModule& source = adapter.modules[layer * 7 + p];
      modules.back().push_back(c.int8_adapters && source.rank > 0 ? held_in_int8(source, {part.n, k}) : source);
    }
  }

  // Per projection: value and the sum of magnitudes that went into it, for the error bound.
  struct Result {
    std::vector<double> value, magnitude;
    std::vector<double> extra_bound;  // of the adapter
  };
  const auto project = [&](size_t part, const std::vector<float>& row, int adapter) {
    const size_t p = static_cast<size_t>(parts[part].projection);
    const WeightMatrix& matrix = weights.layers[layer].projections[p];
    const oracle::Dense& w = dense[part];
    const std::vector<double> exact(row.begin(), row.end());
    const std::vector<double> in = input_of(matrix, row, c.int8);
    Result r{oracle::multiply(w, in), std::vector<double>(w.n), std::vector<double>(w.n)};
    for (uint32_t n = 0; n < w.n; ++n)
      for (uint32_t i = 0; i < k; ++i) {
        // W4's sum runs over s*q and m apart, so their magnitudes count apart.
        const uint32_t input = matrix.input_of(i);
        double magnitude = std::abs(w.values[static_cast<size_t>(n) * k + input]);
        if (matrix.scheme == Scheme::kW4) {
          const double m =
              std::abs(fp16_to_float(matrix.minimums[static_cast<size_t>(n) * matrix.groups() + i / matrix.group]));
          magnitude += 2 * m;
        }
        r.magnitude[n] += magnitude * std::abs(in[input]);
      }
    const std::vector<float>& bias = weights.layers[layer].biases[p];
    for (size_t n = 0; n < bias.size(); ++n) {
      r.value[n] += bias[n];
      r.magnitude[n] += std::abs(bias[n]);
    }
    if (adapter >= 0 && modules[part][adapter].rank > 0) {
      const bool rounded = c.int8_adapters && matrix.order.empty();
      const Update update = apply(modules[part][adapter], w.n, rounded ? in : exact, c);
      for (uint32_t n = 0; n < w.n; ++n) {
        r.value[n] += update.value[n];
        r.magnitude[n] += std::abs(update.value[n]);
        r.extra_bound[n] = update.bound[n];
      }
    }
    return r;
  };

  double worst = 0;
  for (size_t s = 0; s < sequences.size(); ++s)
    for (uint32_t i = 0; i < counts[s]; ++i) {
      const size_t row = sequences[s].first_row + i;
      const std::vector<float> input(x.begin() + row * k, x.begin() + (row + 1) * k);
      std::vector<double> value, bound;
      for (size_t p = 0; p < parts.size(); ++p) {
        const Result r = project(p, input, adapter_of[s]);
        if (paired && p == 1) {
          for (size_t n = 0; n < value.size(); ++n) {
            const double silu = value[n] / (1 + std::exp(-value[n]));
            // |silu'| < 1.1; exp and the products round too.
            bound[n] = 1.1 * bound[n] * std::abs(r.value[n]) +
                       std::abs(silu) * (8 * kUlp * r.magnitude[n] + r.extra_bound[n]) +
                       8 * kUlp * std::abs(silu * r.value[n]);
            value[n] = silu * r.value[n];
          }
        } else {
          value.insert(value.end(), r.value.begin(), r.value.end());
          for (size_t n = 0; n < r.value.size(); ++n) bound.push_back(8 * kUlp * r.magnitude[n] + r.extra_bound[n]);
        }
      }
      for (size_t n = 0; n < columns; ++n) {
        double expected = value[n];
        if (residual) {
          expected += before[row * columns + n];
          bound[n] += kUlp * (std::abs(expected) + std::abs(before[row * columns + n]));
        }
        worst = std::max(worst, std::abs(y[row * columns + n] - expected) / bound[n]);
        if (!(std::abs(y[row * columns + n] - expected) <= bound[n])) {
          check::fail(__FILE__, __LINE__,
                      std::string(kernels.isa) + (c.mixed ? ", mixed layer " + std::to_string(layer) : "") + ", group " +
                          std::to_string(c.group) + ", row " + std::to_string(row) +
                          ", column " + std::to_string(n) + ": " + check::show(y[row * columns + n]) + ", expected " +
                          check::show(expected) + " within " + check::show(bound[n]));
          return;
        }
      }
    }
  CHECK(worst > 0);  // a comparison of exact zeros would prove nothing
}

const std::vector<LinearCase> kLinearCases = {
    {Scheme::kW4, 32, true},  {Scheme::kW4, 64, true},   {Scheme::kW4, 128, true},  {Scheme::kNf4, 32, true},
    {Scheme::kNf4, 64, true}, {Scheme::kNf4, 128, true}, {Scheme::kW8, 32, true},   {Scheme::kW8, 64, true},
    {Scheme::kW4, 32, false}, {Scheme::kW4, 128, false}, {Scheme::kNf4, 64, false}, {Scheme::kW8, 64, false},
    {Scheme::kF32, 0, false}, {Scheme::kW8, 32, false},  {Scheme::kW4, 0, true, true, 0}, {Scheme::kW4, 0, true, true, 1},
    {Scheme::kW4, 0, false, true, 0}, {Scheme::kW4, 0, false, true, 1}};

// The same with int8 adapters.
std::vector<LinearCase> int8_adapter_cases() {
  std::vector<LinearCase> cases = kLinearCases;
  for (LinearCase& c : cases) c.int8_adapters = true;
  return cases;
}

}  // namespace

TEST(linear_is_within_rounding_of_float64_for_every_scheme) {
  ModelConfig config = odd_config();
  config.qkv_bias = config.o_bias = config.mlp_bias = true;
  const std::vector<AdapterWeights> adapters = {random_adapter(config, 0x7f, {16, 1, 33}, AdapterType::kF16, 1),
                                                random_adapter(config, 0x2a, {256, 3}, AdapterType::kBf16, 2),
                                                random_adapter(config, 0x55, {8}, AdapterType::kF32, 3)};
  for (const std::vector<LinearCase>& cases : {kLinearCases, int8_adapter_cases()})
    for (const LinearCase& c : cases) {
      const ModelWeights weights = weights_of(c, config);
      for (const Kernels* kernels : all_kernels())
        for (const LinearGroup group : kLinearGroups)
          check_linear(*kernels, c, group, config, weights, {1, 0, 4, 3, 2, 5}, {0, 1, -1, 1, 2, 0}, adapters, 5);
    }
}

TEST(linear_is_within_rounding_of_float64_for_every_row_count) {
  ModelConfig config = odd_config();
  config.hidden_size = 576;  // 4.5 groups of 128
  config.ffn_size = 40;
  const std::vector<AdapterWeights> adapters = {random_adapter(config, 0x7f, {5}, AdapterType::kBf16, 1)};
  const LinearCase c{Scheme::kW4, 128, true};
  const ModelWeights weights = weights_of(c, config);
  for (const Kernels* kernels : all_kernels())
    for (const uint32_t rows : {1u, 2u, 3u, 7u, 8u, 9u, 31u, 64u, 65u, 70u})
      check_linear(*kernels, c, LinearGroup::kGateUp, config, weights, {rows, 1}, {-1, 0}, adapters, rows);
}

TEST(int8_adapters_of_every_rank_are_within_rounding_of_float64) {
  ModelConfig config = odd_config();
  config.hidden_size = 300;  // A's groups of 128 have a tail that is no slab of 32
  const LinearCase c = int8_adapter_cases()[1];
  const ModelWeights weights = weights_of(c, config);
  for (const Kernels* kernels : all_kernels())
    for (uint32_t rank = 1; rank <= 65; rank = rank < 20 ? rank + 1 : rank + 9) {
      const std::vector<AdapterWeights> adapters = {random_adapter(config, 0x7f, {rank}, AdapterType::kBf16, rank)};
      for (const LinearGroup group : {LinearGroup::kQkv, LinearGroup::kGateUp})
        check_linear(*kernels, c, group, config, weights, {1, 12, 1}, {0, 0, -1}, adapters, rank);
    }
}

TEST(int8_activations_lose_at_most_half_a_step_of_each_group) {
  Random random(3);
  for (const Kernels* kernels : all_kernels())
    for (const uint32_t k : {1u, 31u, 64u, 100u, 576u})
      for (const uint32_t group : {32u, 64u, 128u}) {
        const uint32_t blocks = (k + 63) / 64, groups = (blocks * 64 + group - 1) / group;
        const std::vector<float> x = random.floats(k, 5.0f);
        std::vector<int8_t> codes(blocks * 64, 1);
        std::vector<float> scales(groups), sums(groups), scaled_sums(groups);
        kernels->quantize_row(x.data(), k, blocks, group, codes.data(), scales.data(), sums.data(),
                              scaled_sums.data());
        const std::vector<double> expected = through_int8(x, group);
        for (uint32_t g = 0; g < groups; ++g) {
          double sum = 0;
          for (uint32_t i = g * group; i < std::min((g + 1) * group, blocks * 64); ++i) {
            sum += codes[i];
            if (i >= k) {
              CHECK_EQ(static_cast<int>(codes[i]), 0);
              continue;
            }
            CHECK_NEAR(codes[i] * static_cast<double>(scales[g]), expected[i], 0);
            CHECK_NEAR(codes[i] * static_cast<double>(scales[g]), x[i], scales[g] * 0.5001);
          }
          CHECK_NEAR(sums[g], sum, 0);
          CHECK_EQ(scaled_sums[g], sums[g] * scales[g]);
        }
      }
}

TEST(rms_norm_is_within_rounding_of_float64) {
  Random random(4);
  for (const Kernels* kernels : all_kernels())
    for (const uint32_t n : {1u, 15u, 16u, 17u, 100u, 576u}) {
      const std::vector<float> x = random.floats(n, 3.0f), weight = random.floats(n, 1.0f);
      std::vector<float> y(n);
      kernels->rms_norm_row(x.data(), weight.data(), n, 1e-5f, y.data());
      double squares = 0;
      for (const float v : x) squares += static_cast<double>(v) * v;
      const double rms = std::sqrt(squares / n + static_cast<double>(1e-5f));
      for (uint32_t i = 0; i < n; ++i) {
        const double expected = static_cast<double>(x[i]) * weight[i] / rms;
        CHECK_NEAR(y[i], expected, 8 * kUlp * std::abs(expected));
      }
    }
}

// What is planned for an adapter is what it takes.
TEST(int8_adapters_take_half_the_memory_of_their_source) {
  ModelConfig config = odd_config();
  config.hidden_size = 256;
  config.ffn_size = 512;
  const AdapterWeights adapter = random_adapter(config, 0x7f, {16}, AdapterType::kBf16, 1);
  uint64_t bytes[2];
  for (const pg_adapter_type type : {PG_ADAPTER_SOURCE, PG_ADAPTER_INT8}) {
    Engine engine(*all_kernels().front(), config, random_weights(config, {}, 1), {adapter}, {.isa = {}, .adapters = type});
    CHECK_EQ(engine.adapters[0]->bytes(), engine.backend->adapter_bytes(config, adapter));
    bytes[type == PG_ADAPTER_INT8] = engine.adapters[0]->bytes();
  }
  CHECK_NEAR(static_cast<double>(bytes[1]) / static_cast<double>(bytes[0]), 0.515, 0.015);
}

TEST(model_with_int8_adapters_agrees_with_float64) {
  const ModelConfig config = odd_config();
  const ModelWeights weights = random_weights(config, {Scheme::kF32, 0, Scheme::kF32}, 33);
  const std::vector<AdapterWeights> adapters = {random_adapter(config, 0x7f, {16, 5}, AdapterType::kBf16, 1),
                                                random_adapter(config, 0x3c, {40}, AdapterType::kF16, 2)};
  const oracle::Model model(config, weights);
  const std::vector<Request> requests = {{random_tokens(config, 20, 1), 0}, {random_tokens(config, 30, 2), 1}};
  for (const Kernels* kernels : all_kernels()) {
    Engine engine(*kernels, config, weights, adapters,
                  {.isa = {}, .threads = 2, .activations = PG_ACTIVATIONS_F32, .kv = PG_KV_F32, .adapters = PG_ADAPTER_INT8});
    const auto logits = run(engine, requests, {7, 1});
    for (size_t i = 0; i < requests.size(); ++i) {
      const AdapterWeights rounded = held_in_int8(adapters[i], config);
      const auto expected = model.forward(requests[i].tokens, &rounded);
      double largest = 0, error = 0;
      for (size_t t = 0; t < expected.size(); ++t)
        for (uint32_t v = 0; v < config.vocab_size; ++v) {
          largest = std::max(largest, std::abs(expected[t][v]));
          error = std::max(error, std::abs(logits[i][t][v] - expected[t][v]));
        }
      CHECK_NEAR(error / largest, 0, 1e-4);  // v in int16 loses up to 2^-16 of its largest element
    }
  }
}

TEST(model_in_f32_agrees_with_float64) {
  ModelConfig config = odd_config();
  config.sliding_window = 40;
  config.qk_norm = config.qkv_bias = true;
  config.rope_scaling = {.kind = RopeScaling::Kind::kLlama3, .factor = 8, .original_max_position = 64};
  const ModelWeights weights = random_weights(config, {Scheme::kF32, 0, Scheme::kF32}, 31);
  const std::vector<AdapterWeights> adapters = {random_adapter(config, 0x7f, {16}, AdapterType::kBf16, 1)};
  const oracle::Model model(config, weights);
  const std::vector<Request> requests = {{random_tokens(config, 140, 1), -1}, {random_tokens(config, 80, 2), 0}};
  std::vector<std::vector<std::vector<double>>> expected;
  for (const Request& r : requests) expected.push_back(model.forward(r.tokens, r.adapter < 0 ? nullptr : &adapters[0]));
  for (const Kernels* kernels : all_kernels()) {
    Engine engine(*kernels, config, weights, adapters,
                  {.isa = {}, .threads = 2, .activations = PG_ACTIVATIONS_F32, .kv = PG_KV_F32});
    const auto logits = run(engine, requests, {50, 1, 30});
    for (size_t i = 0; i < requests.size(); ++i)
      for (size_t t = 0; t < expected[i].size(); ++t) {
        double largest = 0, error = 0;
        for (uint32_t v = 0; v < config.vocab_size; ++v) {
          largest = std::max(largest, std::abs(expected[i][t][v]));
          error = std::max(error, std::abs(logits[i][t][v] - expected[i][t][v]));
        }
        CHECK_NEAR(error / largest, 0, 2e-5);
      }
  }
}

TEST(attention_is_within_rounding_of_float64) {
  for (const uint32_t heads : {1u, 3u, 4u, 7u, 64u}) {
    ModelConfig config = odd_config();
    config.heads = heads;
    config.kv_heads = 1;
    config.head_dim = heads == 64 ? 2 : 34;
    config.sliding_window = heads == 3 ? 50 : 0;
    config.hidden_size = 16;
    config.rope_theta = 1e30f;  // pairs past the first hardly turn
    const uint32_t rows = 150, dim = config.head_dim;
    const ModelWeights weights = random_weights(config, {}, 1);
    Random random(heads);
    const size_t stride = config.q_dim() + 2 * config.kv_dim();
    const std::vector<float> input = random.floats(rows * stride, 2.0f);
    const std::vector<uint32_t> tokens(rows, 0), blocks = {2, 0, 1};
    const std::vector<SequenceSpan> sequences = {{.first_row = 0, .count = rows, .first_position = 0, .kv_blocks = blocks}};
    const StepBatch batch{.tokens = tokens, .sequences = sequences, .output_rows = {}};
    for (const Kernels* kernels : all_kernels())
      for (const pg_kv_type type : {PG_KV_F32, PG_KV_F16, PG_KV_INT8}) {
        Engine engine(*kernels, config, weights, {}, {.isa = {}, .threads = 2, .kv = type});
        const auto kv = engine.backend->create_kv_pool(config, 3);
        std::vector<float> qkv = input, y(rows * config.q_dim());
        engine.backend->rope_and_store_kv(*engine.model, batch, 0, qkv.data(), *kv);
        engine.backend->attention(*engine.model, batch, 0, qkv.data(), *kv, y.data());

        // Rotate here too, in double, from the input.
        const std::vector<double> frequencies = oracle::rope_frequencies(config);
        const auto rotated = [&](uint32_t row, uint32_t column) {
          std::vector<double> v(dim);
          for (uint32_t i = 0; i < dim / 2; ++i) {
            const double a = input[row * stride + column + i], b = input[row * stride + column + i + dim / 2];
            const double angle = row * frequencies[i];
            v[i] = a * std::cos(angle) - b * std::sin(angle);
            v[i + dim / 2] = b * std::cos(angle) + a * std::sin(angle);
          }
          return v;
        };
        const auto keep = [&](double v) {
          return type == PG_KV_F16 ? fp16_to_float(float_to_fp16(static_cast<float>(v))) : v;
        };
        double error = 0;
        for (uint32_t row = 0; row < rows; ++row)
          for (uint32_t h = 0; h < heads; ++h) {
            const std::vector<double> q = rotated(row, h * dim);
            std::vector<double> score(rows), o(dim);
            double top = -1e300, sum = 0;
            const uint32_t first = config.sliding_window && row + 1 > config.sliding_window ? row + 1 - config.sliding_window : 0;
            for (uint32_t t = first; t <= row; ++t) {
              const std::vector<double> key = rotated(t, config.q_dim());
              for (uint32_t d = 0; d < dim; ++d) score[t] += q[d] * keep(key[d]);
              score[t] /= std::sqrt(static_cast<double>(dim));
              top = std::max(top, score[t]);
            }
            for (uint32_t t = first; t <= row; ++t) {
              const double p = std::exp(score[t] - top);
              sum += p;
              for (uint32_t d = 0; d < dim; ++d)
                o[d] += p * keep(input[t * stride + config.q_dim() + config.kv_dim() + d]);
            }
            for (uint32_t d = 0; d < dim; ++d)
              error = std::max(error, std::abs(o[d] / sum - y[row * config.q_dim() + h * dim + d]));
          }
        // Values up to 2, scores up to about 30. A key that rounds the other way in fp16 moves a score by 2^-11 of it.
        // In int8 a key is off by up to 1/254 of its largest element in each of its own, and the query likewise.
        CHECK_NEAR(error, 0, type == PG_KV_F32 ? 2e-5 : type == PG_KV_F16 ? 4e-3 : 0.1);
      }
  }
}
