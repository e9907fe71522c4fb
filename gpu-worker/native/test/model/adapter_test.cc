#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/loader.h"
#include "test/check.h"
#include "test/support/files.h"
#include "test/support/golden.h"

using namespace polygraft;

namespace {

const golden::GoldenModel& model(const std::string& name) {
  const auto& all = golden::models();
  return *std::find_if(all.begin(), all.end(), [&](const golden::GoldenModel& m) { return m.name == name; });
}
ModelConfig config_of(const std::string& name) { return read_model_config(model(name).dir); }

constexpr const char* kWeights = "adapter_model.safetensors";
const std::string kA = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
const std::string kB = "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight";

// A copy of llama2's adapter qv-r1 (f32) whose tensors a test may change.
struct Edited {
  files::TempDir dir;
  std::string path = dir / "adapter";
  std::vector<files::Tensor> tensors;

  Edited() {
    files::copy_dir(model("llama2").adapter_dir("qv-r1"), path);
    tensors = files::read_tensors(path + "/" + kWeights);
  }
  files::Tensor& tensor(const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const files::Tensor& t) { return t.name == name; });
  }
  AdapterWeights load(const std::string& base = "llama2") {
    files::write_tensors(path + "/" + kWeights, tensors);
    return load_adapter(path, config_of(base));
  }
};

}  // namespace

TEST(an_adapter_as_peft_saved_it) {
  const AdapterWeights a = load_adapter(model("llama2").adapter_dir("qv-r1"), config_of("llama2"));
  CHECK_EQ(a.base_model, std::string("polygraft/golden-llama2"));
  CHECK_EQ(a.max_rank, 1u);
  CHECK_EQ(a.modules.size(), 14u);
  for (size_t i = 0; i < a.modules.size(); ++i) {
    const bool adapted = i % 7 == 0 || i % 7 == 2;
    CHECK_EQ(a.modules[i].rank, adapted ? 1u : 0u);
    CHECK_EQ(a.modules[i].a.size(), adapted ? 64u * 4 : 0u);
    CHECK_EQ(a.modules[i].b.size(), adapted ? 64u * 4 : 0u);
    if (adapted) CHECK_EQ(a.modules[i].scaling, 2.0f);
    if (adapted) CHECK(a.modules[i].type == AdapterType::kF32);
  }
}

TEST(ranks_and_scalings_by_pattern) {
  const AdapterWeights a = load_adapter(model("mistral").adapter_dir("patterns-r16"), config_of("mistral"));
  CHECK_EQ(a.max_rank, 16u);
  CHECK_EQ(a.modules[0].rank, 3u);
  CHECK_EQ(a.modules[0].scaling, static_cast<float>(16.0 / 3));
  CHECK_EQ(a.modules[1].rank, 16u);
  CHECK_EQ(a.modules[1].scaling, 2.5f);
  CHECK_EQ(a.modules[13].rank, 9u);
  CHECK_EQ(a.modules[13].scaling, static_cast<float>(7.0 / 9));
  CHECK(a.modules[0].type == AdapterType::kBf16);
}

TEST(sides_of_two_dtypes_become_f32) {
  Edited e;
  files::Tensor& a = e.tensor(kA);
  std::string halves;
  for (size_t i = 0; i < a.bytes.size(); i += 4) halves += a.bytes.substr(i + 2, 2);  // truncated to bf16
  a.dtype = DType::kBf16;
  a.bytes = halves;
  const AdapterWeights loaded = e.load();
  CHECK(loaded.modules[0].type == AdapterType::kF32);
  float first;
  std::memcpy(&first, loaded.modules[0].a.data(), 4);
  CHECK(std::isfinite(first) && first != 0);
  CHECK_EQ(loaded.modules[0].a.size(), 64u * 4);
}

TEST(missing_extra_and_misshaped_tensors_are_named) {
  Edited missing;
  missing.tensors.erase(missing.tensors.begin() + (&missing.tensor(kB) - missing.tensors.data()));
  CHECK_THROWS(PG_FAILED_PRECONDITION, kB, "lacks tensor", missing.load());

  Edited extra;
  extra.tensors.push_back({"base_model.model.lm_head.lora_A.weight", DType::kF32, {1}, "0000"});
  CHECK_THROWS(PG_FAILED_PRECONDITION, "base_model.model.lm_head.lora_A.weight", "no place for", extra.load());

  Edited transposed;
  transposed.tensor(kA).shape = {64, 1};
  CHECK_THROWS(PG_FAILED_PRECONDITION, kA, "has shape [64, 1]", transposed.load());

  Edited integers;
  integers.tensor(kA).dtype = DType::kI32;
  CHECK_THROWS(PG_UNIMPLEMENTED, kA, "dtype I32", integers.load());
}

TEST(adapters_for_other_bases_are_refused_by_tensor) {
  // Fewer value heads, another hidden size.
  CHECK_THROWS(PG_FAILED_PRECONDITION, "base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight", "another base",
               Edited().load("llama3"));
  CHECK_THROWS(PG_FAILED_PRECONDITION, kA, "another base", Edited().load("llama-linear"));
  // More layers than the adapter has.
  ModelConfig deeper = config_of("llama2");
  deeper.layers = 3;
  CHECK_THROWS(PG_FAILED_PRECONDITION, "base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight", "lacks tensor",
               load_adapter(model("llama2").adapter_dir("qv-r1"), deeper));
  // Fewer.
  deeper.layers = 1;
  CHECK_THROWS(PG_FAILED_PRECONDITION, "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight", "no place for",
               load_adapter(model("llama2").adapter_dir("qv-r1"), deeper));
}

TEST(nan_and_infinity_are_refused_by_tensor) {
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    Edited e;
    std::memcpy(e.tensor(kB).bytes.data() + 4 * 63, &bad, 4);
    CHECK_THROWS(PG_DATA_LOSS, kB, "NaN or infinity", e.load());
  }
}

TEST(truncated_and_missing_files) {
  Edited e;
  const std::string weights = e.path + "/" + kWeights, whole = files::read_file(weights);
  for (const size_t length : {size_t{0}, size_t{7}, size_t{100}, whole.size() - 1}) {
    files::write_file(weights, whole.substr(0, length));
    try {
      load_adapter(e.path, config_of("llama2"));
      CHECK(false);
    } catch (const Error& error) {
      CHECK_EQ(error.code(), PG_DATA_LOSS);
    }
  }
  ::remove(weights.c_str());
  CHECK_THROWS(PG_NOT_FOUND, kWeights, "cannot open", load_adapter(e.path, config_of("llama2")));
  files::write_file(e.path + "/adapter_model.bin", "x");
  CHECK_THROWS(PG_UNIMPLEMENTED, "adapter_model.bin", "pickle", load_adapter(e.path, config_of("llama2")));
  ::remove((e.path + "/adapter_config.json").c_str());
  CHECK_THROWS(PG_NOT_FOUND, "adapter_config.json", "cannot open", load_adapter(e.path, config_of("llama2")));
}

// Every byte of the header, flipped: whatever happens, it is an Error or a load, never a crash.
TEST(no_damage_to_a_header_does_harm) {
  Edited e;
  const std::string weights = e.path + "/" + kWeights, whole = files::read_file(weights);
  const ModelConfig config = config_of("llama2");
  int refused = 0;
  for (size_t at = 0; at < 600; ++at) {
    std::string broken = whole;
    broken[at] = static_cast<char>(broken[at] ^ (1 << at % 8));
    files::write_file(weights, broken);
    try {
      load_adapter(e.path, config);
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(refused > 500);
}

TEST(an_adapter_that_selects_nothing) {
  const files::TempDir dir;
  files::write_file(dir / "adapter_config.json", R"({"peft_type":"LORA","r":1,"target_modules":["c_attn"]})");
  files::write_tensors(dir / kWeights, {});
  CHECK_THROWS(PG_FAILED_PRECONDITION, "target_modules", "selects no layer",
               load_adapter(dir.path(), config_of("llama2")));
}
