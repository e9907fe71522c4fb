// The laws of cpu/numerics.md: the same bits from every instruction set, thread count, batch and chunking.
#include "test/check.h"
#include "test/kernels/fixture.h"

using namespace polygraft;
using namespace polygraft::fixture;

namespace {

struct Case {
  const char* name;
  ModelConfig config;
  WeightOptions weights;
  BackendOptions backend;
};

std::vector<Case> cases() {
  const ModelConfig plain = odd_config();
  ModelConfig window = plain;
  window.sliding_window = 37;
  window.tied_head = true;
  ModelConfig biased = plain;
  biased.qkv_bias = biased.o_bias = biased.mlp_bias = true;
  biased.heads = 5;
  biased.kv_heads = 1;
  ModelConfig normed = plain;
  normed.qk_norm = true;
  normed.head_dim = 48;
  normed.heads = normed.kv_heads = 2;
  normed.rope_scaling = {.kind = RopeScaling::Kind::kLlama3, .factor = 4, .original_max_position = 64};
  ModelConfig g128 = plain;
  g128.hidden_size = 576;  // 4.5 groups of 128
  g128.rope_scaling = {.kind = RopeScaling::Kind::kLinear, .factor = 2};
  BackendOptions int8, f32, exact, int8_kv, int8_adapters, f32_int8_adapters;
  int8_adapters.adapters = f32_int8_adapters.adapters = PG_ADAPTER_INT8;
  int8_kv.kv = PG_KV_INT8;
  f32.activations = exact.activations = f32_int8_adapters.activations = PG_ACTIVATIONS_F32;
  exact.kv = PG_KV_F32;
  return {
      {"w4 g32 int8", plain, {Scheme::kW4, 32, Scheme::kW8}, int8},
      {"w4 g64 int8, window, tied", window, {Scheme::kW4, 64, Scheme::kW8}, int8},
      {"w4 g128 int8, linear rope, 4-bit head", g128, {Scheme::kW4, 128, Scheme::kW4}, int8},
      {"nf4 g64 int8, biases, one kv head", biased, {Scheme::kNf4, 64, Scheme::kW8}, int8},
      {"w4 g32 f32 activations, q/k norm", normed, {Scheme::kW4, 32, Scheme::kW8}, f32},
      {"nf4 g32 f32 activations", plain, {Scheme::kNf4, 32, Scheme::kW8}, f32},
      {"w4 g32 int8, int8 keys and values", plain, {Scheme::kW4, 32, Scheme::kW8}, int8_kv},
      {"w4 g64 int8, int8 keys and values, window", window, {Scheme::kW4, 64, Scheme::kW8}, int8_kv},
      {"f32, int8 keys and values, q/k norm", normed, {Scheme::kF32, 0, Scheme::kF32}, int8_kv},
      {"w8 g32 int8", plain, {Scheme::kW8, 32, Scheme::kW8}, int8},
      {"mixed int8, biases", biased, {.head = Scheme::kW8, .mixed = true}, int8},
      {"mixed f32 activations", plain, {.head = Scheme::kW8, .mixed = true}, f32},
      {"w4 g32 int8, int8 adapters", plain, {Scheme::kW4, 32, Scheme::kW8}, int8_adapters},
      {"w4 g64 int8, int8 adapters, window, tied", window, {Scheme::kW4, 64, Scheme::kW8}, int8_adapters},
      {"w4 g128 int8, int8 adapters", g128, {Scheme::kW4, 128, Scheme::kW8}, int8_adapters},
      {"mixed int8, int8 adapters, biases", biased, {.head = Scheme::kW8, .mixed = true}, int8_adapters},
      {"w4 g32 f32 activations, int8 adapters", plain, {Scheme::kW4, 32, Scheme::kW8}, f32_int8_adapters},
      {"f32, int8 adapters", normed, {Scheme::kF32, 0, Scheme::kF32}, int8_adapters},
      {"f32", normed, {Scheme::kF32, 0, Scheme::kF32}, exact},
  };
}

std::vector<AdapterWeights> adapters(const ModelConfig& c) {
  return {random_adapter(c, 0x7f, {16}, AdapterType::kBf16, 1), random_adapter(c, 0x05, {1, 3}, AdapterType::kF32, 2),
          random_adapter(c, 0x7a, {40, 8, 5}, AdapterType::kF16, 3)};
}

std::vector<Request> requests(const ModelConfig& c) {
  return {{random_tokens(c, 1, 11), 0},  {random_tokens(c, 70, 12), -1}, {random_tokens(c, 131, 13), 1},
          {random_tokens(c, 5, 14), 2},  {random_tokens(c, 9, 15), 0},   {random_tokens(c, 66, 16), 2},
          {random_tokens(c, 17, 17), -1}};
}

using Logits = std::vector<std::vector<std::vector<float>>>;

void check_same(const std::string& what, const Logits& actual, const Logits& expected) {
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    REQUIRE(actual[i].size() == expected[i].size());
    for (size_t t = 0; t < actual[i].size(); ++t)
      if (!same_bits(actual[i][t], expected[i][t])) {
        check::fail(__FILE__, __LINE__, what + ": request " + std::to_string(i) + " differs from token " + std::to_string(t));
        break;
      }
  }
}

}  // namespace

TEST(every_instruction_set_and_thread_count_returns_the_same_bits) {
  for (const Case& c : cases()) {
    const ModelWeights weights = random_weights(c.config, c.weights, 7);
    Logits expected;
    const auto kernels = all_kernels();
    for (auto k = kernels.rbegin(); k != kernels.rend(); ++k)  // scalar first
      for (const uint32_t threads : {1u, 3u}) {
        BackendOptions options = c.backend;
        options.threads = threads;
        Engine engine(**k, c.config, weights, adapters(c.config), options);
        const Logits logits = run(engine, requests(c.config), {1000});
        if (expected.empty()) expected = logits;
        check_same(std::string(c.name) + ", " + (*k)->isa + ", threads " + std::to_string(threads), logits, expected);
      }
  }
}

TEST(a_request_does_not_see_its_batch_or_its_chunks) {
  for (const Case& c : cases()) {
    const ModelWeights weights = random_weights(c.config, c.weights, 8);
    for (const Kernels* k : all_kernels()) {
      if (k == &kKernelsScalar && k != all_kernels().front()) continue;  // the same bits by the test above
      BackendOptions options = c.backend;
      options.threads = 2;
      Engine engine(*k, c.config, weights, adapters(c.config), options);
      const std::vector<Request> all = requests(c.config);
      const Logits together = run(engine, all, {1000});
      const std::string name = std::string(c.name) + ", " + k->isa;
      check_same(name + ": chunks", run(engine, all, {7, 1, 64, 3}), together);
      check_same(name + ": token by token", run(engine, all, {1}), together);
      for (size_t i = 0; i < all.size(); ++i) {
        const Logits alone = run(engine, {all[i]}, {1000});
        check_same(name + ": request " + std::to_string(i) + " alone", alone, {together[i]});
      }
      const std::vector<Request> backwards(all.rbegin(), all.rend());
      const Logits turned = run(engine, backwards, {20});
      check_same(name + ": backwards", Logits(turned.rbegin(), turned.rend()), together);
    }
  }
}

TEST(stale_and_nan_cache_contents_do_not_reach_a_result) {
  const ModelConfig config = odd_config();
  const ModelWeights weights = random_weights(config, {}, 9);
  for (const Kernels* k : all_kernels())
    for (const auto& [type, stored] : {std::pair(PG_KV_F16, KvType::kF16), std::pair(PG_KV_INT8, KvType::kInt8)}) {
      Engine engine(*k, config, weights, {}, {.isa = {}, .threads = 1, .kv = type});
      const std::vector<uint32_t> tokens = random_tokens(config, 3, 21);
      const auto step = [&](CpuKvPool& kv) {
        Graph graph(config, *engine.backend, *engine.model, 4);
        const std::vector<uint32_t> blocks = {1}, output_rows = {2};
        const std::vector<SequenceSpan> sequences = {{.first_row = 0, .count = 3, .first_position = 0, .kv_blocks = blocks}};
        const auto logits = graph.forward({.tokens = tokens, .sequences = sequences, .output_rows = output_rows}, kv);
        return std::vector<float>(logits.begin(), logits.end());
      };
      CpuKvPool clean(config, stored, 2), dirty(config, stored, 2);
      for (uint32_t l = 0; l < config.layers; ++l) std::memset(dirty.layer(l), 0xff, 2 * dirty.layout.block_bytes());
      CHECK(same_bits(step(dirty), step(clean)));
    }
}

TEST(copied_blocks_hold_the_same_tokens) {
  const ModelConfig config = odd_config();
  const ModelWeights weights = random_weights(config, {}, 10);
  Engine engine(*all_kernels().front(), config, weights, {}, {.isa = {}, .threads = 1});
  const auto kv = engine.backend->create_kv_pool(config, 3);
  Graph graph(config, *engine.backend, *engine.model, 8);
  const std::vector<uint32_t> tokens = random_tokens(config, 8, 22), last = {7};
  const auto step = [&](uint32_t first, uint32_t count, uint32_t block) {
    const std::vector<uint32_t> blocks = {block}, output_rows = {count - 1};
    const std::vector<SequenceSpan> sequences = {
        {.first_row = 0, .count = count, .first_position = first, .kv_blocks = blocks}};
    const auto logits = graph.forward({.tokens = std::span(tokens).subspan(first, count),
                                       .sequences = sequences,
                                       .output_rows = output_rows},
                                      *kv);
    return std::vector<float>(logits.begin(), logits.end());
  };
  const std::vector<float> whole = step(0, 8, 2);
  step(0, 5, 0);
  engine.backend->copy_kv_block(*kv, 0, 1);
  CHECK(same_bits(step(5, 3, 1), whole));
}
