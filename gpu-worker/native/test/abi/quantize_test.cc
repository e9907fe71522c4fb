// Quantizing ahead of time through the C ABI: what is written is what an engine serves.
#include <filesystem>

#include "abi/engine.h"
#include "model/config.h"
#include "model/loader.h"
#include "test/check.h"
#include "test/support/files.h"
#include "test/support/gguf_model.h"
#include "test/support/golden.h"
#include "test/support/weights.h"

using polygraft::files::TempDir;

namespace {

std::string golden_dir(const std::string& name) { return std::string(PG_GOLDEN_DIR) + "/" + name; }

struct Quantized {
  TempDir dir;
  std::string model = golden_dir("mistral"), out = dir / "model.safetensors";
  std::vector<uint32_t> tokens;
  pg_quantize_options options{};
  pg_quantize_report report{};
  pg_error error{};

  Quantized() {
    options.size = sizeof(options);
    report.size = sizeof(report);
    for (uint32_t i = 0; i < 200; ++i) tokens.push_back(i * 13 % 100);
  }
  void calibrate() {
    options.tokens = tokens.data();
    options.token_count = static_cast<uint32_t>(tokens.size());
    options.sequence_tokens = 50;
  }
  pg_code run(pg_progress progress = nullptr) {
    options.model_dir = model.c_str();
    options.out_file = out.c_str();
    return pg_quantize(&options, progress, nullptr, &report, &error);
  }
  std::string bytes() const { return polygraft::files::read_file(out); }
};

// The weights as an engine names them, and how many bytes they have; empty if it refuses.
std::string served(const std::string& dir, pg_scheme scheme = PG_SCHEME_W4) {
  pg_engine_options options{};
  options.size = sizeof(options);
  options.model_dir = dir.c_str();
  options.scheme = scheme;
  options.threads = 1;
  pg_engine* engine = nullptr;
  pg_error error{};
  if (pg_engine_open(&options, nullptr, nullptr, &engine, &error) != PG_OK) return "";
  pg_model_info info{};
  info.size = sizeof(info);
  pg_engine_info(engine, &info);
  const std::string name = info.weights;
  pg_engine_close(engine);
  return name;
}

}  // namespace

TEST(an_engine_serves_what_was_written) {
  Quantized q;
  q.options.group = 64;
  REQUIRE(q.run() == PG_OK);
  CHECK_EQ(q.report.layers, 2u);
  CHECK_EQ(q.report.bytes, q.bytes().size());
  CHECK(q.report.parameters > 10000);
  for (int p = 0; p < 7; ++p) {
    CHECK(q.report.weight_error[p] > 0 && q.report.weight_error[p] < q.report.plain_weight_error[p]);
    CHECK_EQ(q.report.output_error[p], 0.0);
  }
  std::filesystem::copy_file(q.model + "/config.json", q.dir / "config.json");
  CHECK_EQ(served(q.dir.path()), "w4-g64");
  CHECK_EQ(served(q.dir.path(), PG_SCHEME_F32), "f32");
}

TEST(calibration_tells_its_gain_and_gives_the_same_file_every_time) {
  Quantized plain, first, second;
  first.calibrate();
  second.calibrate();
  first.options.threads = 1;
  second.options.threads = 3;
  REQUIRE(plain.run() == PG_OK && first.run() == PG_OK && second.run() == PG_OK);
  CHECK(first.bytes() == second.bytes());
  CHECK(first.bytes() != plain.bytes());
  for (int p = 0; p < 7; ++p) {
    CHECK(first.report.output_error[p] > 0);
    CHECK(first.report.output_error[p] < first.report.rounded_output_error[p]);
    CHECK_EQ(first.report.output_error[p], second.report.output_error[p]);
    // What outputs gain costs weights something.
    CHECK(first.report.weight_error[p] > plain.report.weight_error[p]);
  }
}

TEST(errors_name_the_option) {
  const auto refused = [](const char* field, pg_code code, auto change) {
    Quantized q;
    q.calibrate();
    change(q);
    CHECK_EQ(q.run(), code);
    CHECK_EQ(std::string(q.error.field), field);
    CHECK(!std::filesystem::exists(q.out));
  };
  refused("model_dir", PG_INVALID_ARGUMENT, [](Quantized& q) { q.model = ""; });
  refused("out_file", PG_INVALID_ARGUMENT, [](Quantized& q) { q.out = ""; });
  refused("config.json", PG_NOT_FOUND, [](Quantized& q) { q.model = q.dir / "none"; });
  refused("group", PG_INVALID_ARGUMENT, [](Quantized& q) { q.options.group = 48; });
  refused("head_bits", PG_INVALID_ARGUMENT, [](Quantized& q) { q.options.head_bits = 3; });
  refused("scheme", PG_INVALID_ARGUMENT, [](Quantized& q) { q.options.scheme = PG_SCHEME_F32; });
  refused("grid", PG_INVALID_ARGUMENT, [](Quantized& q) { q.options.grid = PG_GRID_PLAIN; });
  refused("tokens", PG_INVALID_ARGUMENT, [](Quantized& q) { q.options.token_count = 0; });
  refused("tokens", PG_INVALID_ARGUMENT, [](Quantized& q) { q.tokens[7] = 1u << 20; });
  refused("out_file", PG_INTERNAL, [](Quantized& q) { q.out = q.dir / "none/model.safetensors"; });
}

TEST(what_is_quantized_already_is_refused) {
  Quantized q, again;
  REQUIRE(q.run() == PG_OK);
  std::filesystem::copy_file(q.model + "/config.json", q.dir / "config.json");
  again.model = q.dir.path();
  CHECK_EQ(again.run(), PG_FAILED_PRECONDITION);
  CHECK(std::string(again.error.message).find("quantized already") != std::string::npos);
}

TEST(it_can_be_cancelled_in_every_phase) {
  for (const pg_progress stop : {pg_progress{[](void*, const char* phase, uint64_t, uint64_t) { return phase[0] != 'q'; }},
                                 pg_progress{[](void*, const char* phase, uint64_t, uint64_t) { return phase[1] != 'a'; }},
                                 pg_progress{[](void*, const char* phase, uint64_t, uint64_t) { return phase[1] != 'o'; }}}) {
    Quantized q;
    q.calibrate();
    CHECK_EQ(q.run(stop), PG_CANCELLED);
    CHECK(!std::filesystem::exists(q.out));
  }
}

// The converter writes Llama 3's scaling as a divisor for each pair of dimensions; config.json carries them on.
TEST(divisors_of_rope_go_from_a_gguf_file_into_the_folder) {
  Quantized q;
  const TempDir source;
  q.model = source / "llama3.gguf";
  polygraft::files::write_file(q.model, polygraft::files::gguf_of_folder(golden_dir("llama3"), polygraft::files::GgufMatrices::kF32));
  CHECK_EQ(q.run(), PG_OK);
  const polygraft::ModelConfig file = polygraft::read_model_config(q.model), folder = polygraft::read_model_config(q.dir.path());
  CHECK(file.rope_scaling.kind == polygraft::RopeScaling::Kind::kFactors);
  CHECK(folder.rope_scaling.kind == file.rope_scaling.kind);
  CHECK(folder.rope_scaling.factors == file.rope_scaling.factors);
  const polygraft::LoadedModel written = polygraft::load_model(q.dir.path(), {}, "", {});
  CHECK(polygraft::weights_equal(written.weights, polygraft::load_model(golden_dir("llama3"), {}, "", {}).weights));
}
