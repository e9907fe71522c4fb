#include "abi/engine_plan.h"

#include "abi/boundary.h"
#include "test/check.h"

using namespace polygraft;

namespace {

constexpr uint64_t kBlock = 1000;  // bytes of a KV block

pg_engine_options options() {
  pg_engine_options given{};
  given.size = sizeof(given);
  given.model_dir = "model";
  return given;
}

ModelConfig model(uint32_t max_position) {
  ModelConfig config;
  config.max_position = max_position;
  return config;
}

}  // namespace

TEST(the_type_of_keys_and_values_follows_the_activations_unless_it_is_given) {
  pg_engine_options given = options();
  CHECK(check_options(given).backend.kv == PG_KV_F16);
  given.activations = PG_ACTIVATIONS_F32;
  CHECK(check_options(given).backend.kv == PG_KV_F32);
  given.kv_type = PG_KV_INT8;
  CHECK(check_options(given).backend.kv == PG_KV_INT8);
  given.kv_type = static_cast<pg_kv_type>(9);
  CHECK_THROWS(PG_INVALID_ARGUMENT, "kv_type", "use f16, f32 or int8", check_options(given));
}

TEST(adapters_are_held_as_their_source_unless_int8_is_asked_for) {
  pg_engine_options given = options();
  CHECK(check_options(given).backend.adapters == PG_ADAPTER_SOURCE);
  given.adapter_type = PG_ADAPTER_INT8;
  CHECK(check_options(given).backend.adapters == PG_ADAPTER_INT8);
  given.adapter_type = static_cast<pg_adapter_type>(9);
  CHECK_THROWS(PG_INVALID_ARGUMENT, "adapter_type", "use source or int8", check_options(given));
}

TEST(zeros_are_defaults) {
  const EngineOptions checked = check_options(options());
  CHECK(checked.quantize.scheme == Scheme::kW4);
  CHECK_EQ(checked.quantize.group, 32u);
  CHECK_EQ(checked.quantize.head_bits, 8u);
  CHECK_EQ(checked.step.max_sequences, 64u);
  CHECK_EQ(checked.step.max_step_tokens, 512u);
  CHECK_EQ(checked.step.max_prefill_tokens, 64u);
  CHECK_EQ(checked.max_queue, 1024u);
  CHECK_EQ(checked.adapter_bytes, uint64_t{512} << 20);
  CHECK(checked.backend.kv == PG_KV_F16);
  CHECK(checked.quantize.keep == Keep::kBits);
}

TEST(a_scheme_that_is_asked_for_goes_before_the_bits_of_the_file) {
  pg_engine_options given = options();
  for (const auto& [scheme, held] : {std::pair(PG_SCHEME_W4, Scheme::kW4), std::pair(PG_SCHEME_NF4, Scheme::kNf4),
                                     std::pair(PG_SCHEME_W8, Scheme::kW8)}) {
    given.scheme = scheme;
    CHECK(check_options(given).quantize.scheme == held);
    CHECK(check_options(given).quantize.keep == Keep::kGrids);
  }
  given.scheme = static_cast<pg_scheme>(5);
  CHECK_THROWS(PG_INVALID_ARGUMENT, "scheme", "use w4, nf4, w8 or f32", check_options(given));
}

TEST(mixtures_are_named_after_all_that_is_in_them) {
  const auto matrix = [](Scheme scheme, uint32_t group, uint32_t n) {
    WeightMatrix m;
    m.scheme = scheme;
    m.group = group;
    m.n = n;
    m.k = 64;
    return m;
  };
  ModelWeights weights;
  weights.layers.resize(1);
  for (WeightMatrix& m : weights.layers[0].projections) m = matrix(Scheme::kW4, 32, 8);
  CHECK_EQ(weights_name(weights), "w4-g32");
  weights.layers[0].projections[6] = matrix(Scheme::kW8, 32, 64);
  CHECK_EQ(weights_name(weights), "w8-g32+w4-g32");
  weights.layers[0].projections[6] = matrix(Scheme::kF32, 0, 8);
  CHECK_EQ(weights_name(weights), "w4-g32+f32");
}

TEST(nothing_is_rounded_beside_exact_weights_or_activations) {
  pg_engine_options given = options();
  given.scheme = PG_SCHEME_F32;
  EngineOptions checked = check_options(given);
  CHECK(checked.backend.kv == PG_KV_F32);
  CHECK_EQ(checked.backend.activations, PG_ACTIVATIONS_F32);
  CHECK_EQ(checked.quantize.head_bits, 32u);
  given = options();
  given.activations = PG_ACTIVATIONS_F32;
  CHECK(check_options(given).backend.kv == PG_KV_F32);
}

TEST(options_out_of_range_are_named) {
  const auto refused = [](const char* field, auto change) {
    pg_engine_options given = options();
    change(given);
    CHECK_THROWS(PG_INVALID_ARGUMENT, field, field, check_options(given));
  };
  refused("model_dir", [](auto& o) { o.model_dir = nullptr; });
  refused("group", [](auto& o) { o.group = 16; });
  refused("head_bits", [](auto& o) { o.head_bits = 16; });
  refused("threads", [](auto& o) { o.threads = 5000; });
  refused("max_sequences", [](auto& o) { o.max_sequences = 5000; });
  refused("max_step_tokens", [](auto& o) { o.max_step_tokens = 63; });
  refused("max_prefill_tokens", [](auto& o) { o.max_prefill_tokens = 1u << 20; });
  refused("max_queue", [](auto& o) { o.max_queue = 1u << 30; });
}

TEST(kv_blocks_hold_the_usual_load_and_at_least_one_context) {
  const EngineOptions checked = check_options(options());
  // 64 sequences at 1024 tokens.
  KvPlan plan = plan_kv(checked, model(4096), kBlock);
  CHECK_EQ(plan.context, 4096u);
  CHECK_EQ(plan.blocks, 64u * 16);
  // A model with long positions is served at 8192 tokens unless more is asked for.
  CHECK_EQ(plan_kv(checked, model(131072), kBlock).context, 8192u);
  // At most 1 GiB by default, but always a whole context.
  plan = plan_kv(checked, model(4096), uint64_t{64} << 20);
  CHECK_EQ(plan.blocks, 64u);
  // Short contexts need no more than all sequences can fill.
  CHECK_EQ(plan_kv(checked, model(100), kBlock).blocks, 64u * 2);
}

TEST(the_context_shrinks_to_the_kv_bytes_unless_it_was_asked_for) {
  EngineOptions checked = check_options(options());
  checked.kv_bytes = 10 * kBlock + 999;
  KvPlan plan = plan_kv(checked, model(4096), kBlock);
  CHECK_EQ(plan.blocks, 10u);
  CHECK_EQ(plan.context, 640u);
  checked.max_context = 641;
  CHECK_THROWS(PG_INVALID_ARGUMENT, "kv_bytes", "give at least 11000 bytes", plan_kv(checked, model(4096), kBlock));
  checked.max_context = 5000;
  CHECK_THROWS(PG_INVALID_ARGUMENT, "max_context", "end at 4096", plan_kv(checked, model(4096), kBlock));
  checked.max_context = 0;
  checked.kv_bytes = kBlock - 1;
  CHECK_THROWS(PG_INVALID_ARGUMENT, "kv_bytes", "holds 0 tokens", plan_kv(checked, model(4096), kBlock));
}

TEST(the_digest_covers_what_output_depends_on) {
  const auto digest = [](const pg_engine_options& given) {
    return output_digest("sha256:weights", check_options(given).backend);
  };
  const std::string usual = digest(options());
  CHECK_EQ(usual.size(), std::string("sha256:").size() + 64);
  CHECK(output_digest("sha256:others", check_options(options()).backend) != usual);
  pg_engine_options given = options();
  given.threads = 3;
  CHECK_EQ(digest(given), usual);
  given.kv_type = PG_KV_F16;  // as by default
  CHECK_EQ(digest(given), usual);
  given.kv_type = PG_KV_INT8;
  CHECK(digest(given) != usual);
  given = options();
  given.activations = PG_ACTIVATIONS_F32;
  CHECK(digest(given) != usual);
  given = options();
  given.adapter_type = PG_ADAPTER_INT8;
  CHECK(digest(given) != usual);
}

TEST(structs_of_older_and_newer_hosts) {
  struct Newer {
    pg_engine_options known;
    uint64_t later;
  } newer{options(), 0};
  newer.known.size = sizeof(newer);
  CHECK_EQ(read_struct(&newer.known, "options").model_dir, newer.known.model_dir);
  newer.later = 1;
  CHECK_THROWS(PG_UNIMPLEMENTED, "options", "newer engine", read_struct(&newer.known, "options"));

  pg_engine_options older = options();
  older.threads = 7;
  older.adapter_bytes = 99;  // behind the end that it gives
  older.size = offsetof(pg_engine_options, adapter_bytes);
  CHECK_EQ(read_struct(&older, "options").threads, 7u);
  CHECK_EQ(read_struct(&older, "options").adapter_bytes, 0u);
  older.size = 0;
  CHECK_THROWS(PG_INVALID_ARGUMENT, "options", "size is not set", read_struct(&older, "options"));
  CHECK_THROWS(PG_INVALID_ARGUMENT, "options", "missing", read_struct<pg_engine_options>(nullptr, "options"));
}

TEST(no_exception_crosses_the_boundary) {
  pg_error error{};
  CHECK_EQ(guarded(&error, [] { throw Error(PG_NOT_FOUND, "f", "m"); }), PG_NOT_FOUND);
  CHECK_EQ(std::string(error.field) + error.message, "fm");
  CHECK_EQ(guarded(&error, [] { throw std::bad_alloc(); }), PG_RESOURCE_EXHAUSTED);
  CHECK_EQ(guarded(&error, [] { throw std::runtime_error("x"); }), PG_INTERNAL);
  CHECK_EQ(guarded(&error, [] { throw 1; }), PG_INTERNAL);
  CHECK_EQ(guarded(nullptr, [] { throw Error(PG_NOT_FOUND, std::string(500, 'f'), std::string(2000, 'm')); }),
           PG_NOT_FOUND);
  CHECK_EQ(guarded(&error, [] { throw Error(PG_NOT_FOUND, std::string(500, 'f'), std::string(2000, 'm')); }),
           PG_NOT_FOUND);
  CHECK_EQ(std::string(error.field).size(), sizeof(error.field) - 1);
  CHECK_EQ(guarded(&error, [] {}), PG_OK);
  CHECK_EQ(std::string(error.message), "");
}
