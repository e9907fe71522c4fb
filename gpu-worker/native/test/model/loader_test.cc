#include "model/loader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>

#include "test/check.h"
#include "test/support/files.h"
#include "test/support/golden.h"
#include "test/support/weights.h"

using namespace polygraft;

namespace {

std::string golden_dir(const std::string& name) { return std::string(PG_GOLDEN_DIR) + "/" + name; }

const QuantizeOptions kW4 = {Scheme::kW4, 32, 8};

LoadedModel load(const std::string& dir, const QuantizeOptions& options = kW4, const std::string& cache = "") {
  return load_model(dir, options, cache, {});
}

// A copy of a golden model without adapters, whose tensors a test may change.
struct Edited {
  files::TempDir dir;
  std::string path = dir / "model";
  std::vector<files::Tensor> tensors;

  explicit Edited(const std::string& name) {
    files::copy_dir(golden_dir(name), path);
    tensors = files::read_tensors(path + "/model.safetensors");
  }
  std::vector<files::Tensor>::iterator tensor(const std::string& name) {
    return std::find_if(tensors.begin(), tensors.end(), [&](const files::Tensor& t) { return t.name == name; });
  }
  void write() { files::write_tensors(path + "/model.safetensors", tensors); }
  LoadedModel load() {
    write();
    return ::load(path);
  }
};

std::vector<std::string> files_in(const std::string& dir) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) names.push_back(entry.path().string());
  return names;
}

}  // namespace

TEST(schemes_and_shapes) {
  const LoadedModel m = load(golden_dir("llama-linear"));  // four shards, biases
  CHECK_EQ(m.weights.layers.size(), 2u);
  const LayerWeights& layer = m.weights.layers[1];
  CHECK(layer.projections[0].scheme == Scheme::kW4);
  CHECK_EQ(layer.projections[6].n, 72u);
  CHECK_EQ(layer.projections[6].k, 100u);
  CHECK_EQ(layer.projections[6].groups(), 4u);
  CHECK_EQ(layer.biases[0].size(), 72u);
  CHECK_EQ(layer.biases[6].size(), 72u);
  CHECK(m.weights.embedding.scheme == Scheme::kW8);
  CHECK_EQ(m.weights.embedding.group, 64u);
  CHECK_EQ(m.weights.head.n, 203u);
  CHECK(m.digest.starts_with("sha256:") && m.digest.size() == 7 + 64);

  CHECK_EQ(load(golden_dir("llama3")).weights.head.n, 0u);  // tied
  CHECK(load(golden_dir("llama3"), {Scheme::kNf4, 64, 4}).weights.embedding.scheme == Scheme::kW4);
  CHECK(load(golden_dir("llama3"), {Scheme::kW8, 128, 8}).weights.layers[0].projections[6].scheme == Scheme::kW8);
  CHECK_EQ(load(golden_dir("qwen3")).weights.layers[0].q_norm.size(), 32u);
  CHECK_EQ(load(golden_dir("qwen2")).weights.layers[0].biases[1].size(), 32u);
  CHECK(load(golden_dir("qwen2")).weights.layers[0].biases[3].empty());
}

TEST(options_are_checked) {
  CHECK_THROWS(PG_INVALID_ARGUMENT, "group", "32, 64 or 128", load(golden_dir("llama2"), {Scheme::kW4, 16, 8}));
  CHECK_THROWS(PG_INVALID_ARGUMENT, "head_bits", "4, 8 or 32", load(golden_dir("llama2"), {Scheme::kW4, 32, 16}));
}

TEST(missing_extra_and_misshaped_tensors_are_named) {
  const std::string up = "model.layers.1.mlp.up_proj.weight";
  Edited missing("mistral");
  missing.tensors.erase(missing.tensor(up));
  CHECK_THROWS(PG_FAILED_PRECONDITION, up, "lacks tensor", missing.load());

  Edited extra("mistral");
  extra.tensors.push_back({"model.layers.1.mlp.up_proj.bias", DType::kF32, {1}, "0000"});
  CHECK_THROWS(PG_UNIMPLEMENTED, "model.layers.1.mlp.up_proj.bias", "does not use", extra.load());

  Edited misshaped("mistral");
  std::swap(misshaped.tensor(up)->shape[0], misshaped.tensor(up)->shape[1]);
  CHECK_THROWS(PG_FAILED_PRECONDITION, up, "has shape [64, 128]", misshaped.load());

  Edited integers("mistral");
  integers.tensor(up)->dtype = DType::kI16;
  CHECK_THROWS(PG_UNIMPLEMENTED, up, "dtype I16", integers.load());

  Edited headless("mistral");
  headless.tensors.erase(headless.tensor("lm_head.weight"));
  CHECK_THROWS(PG_FAILED_PRECONDITION, "lm_head.weight", "lacks tensor", headless.load());

  Edited harmless("llama3");  // tied, so its own head is not read
  harmless.tensors.push_back(*harmless.tensor("model.embed_tokens.weight"));
  harmless.tensors.back().name = "lm_head.weight";
  harmless.tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", DType::kF32, {1}, "0000"});
  CHECK_EQ(harmless.load().weights.head.n, 0u);
}

TEST(broken_values_are_refused_by_tensor) {
  const std::string q = "model.layers.0.self_attn.q_proj.weight", norm = "model.norm.weight";
  Edited nan("mistral");
  nan.tensor(q)->bytes[100] = '\xc0';
  nan.tensor(q)->bytes[101] = '\x7f';  // bf16 NaN
  CHECK_THROWS(PG_DATA_LOSS, q, "NaN or infinity", nan.load());
  Edited infinite("mistral");
  infinite.tensor(norm)->bytes[0] = '\x80';
  infinite.tensor(norm)->bytes[1] = '\x7f';
  CHECK_THROWS(PG_DATA_LOSS, norm, "NaN or infinity", infinite.load());
  Edited huge("mistral");
  huge.tensor(q)->bytes[101] = '\x7e';  // about 1e38
  CHECK_THROWS(PG_FAILED_PRECONDITION, q, "cannot be quantized", huge.load());
}

TEST(truncated_weights_are_refused) {
  Edited e("mistral");
  const std::string path = e.path + "/model.safetensors", whole = files::read_file(path);
  files::write_file(path, whole.substr(0, whole.size() - 1));
  try {
    load(e.path);
    CHECK(false);
  } catch (const Error& error) {
    CHECK_EQ(error.code(), PG_DATA_LOSS);
    CHECK(std::string(error.what()).find("truncated") != std::string::npos);
  }
}

TEST(missing_folders_and_files) {
  const files::TempDir dir;
  CHECK_THROWS(PG_NOT_FOUND, "config.json", "cannot open", load(dir / "none"));
  files::write_file(dir / "config.json", files::read_file(golden_dir("llama2") + "/config.json"));
  CHECK_THROWS(PG_NOT_FOUND, "model.safetensors", "cannot open", load(dir.path()));
}

TEST(the_digest_covers_source_and_options) {
  const std::string digest = load(golden_dir("mistral")).digest;
  CHECK_EQ(load(golden_dir("mistral")).digest, digest);
  Edited moved("mistral");
  CHECK_EQ(load(moved.path).digest, digest);  // the path does not count
  CHECK(load(golden_dir("mistral"), {Scheme::kW4, 64, 8}).digest != digest);
  CHECK(load(golden_dir("mistral"), {Scheme::kW4, 32, 4}).digest != digest);
  CHECK(load(golden_dir("mistral"), {Scheme::kNf4, 32, 8}).digest != digest);
  moved.tensor("model.norm.weight")->bytes[0] ^= 1;  // the last bit of one weight
  CHECK(moved.load().digest != digest);
}

TEST(the_cache_gives_the_same_weights) {
  for (const QuantizeOptions& options :
       {kW4, QuantizeOptions{Scheme::kNf4, 64, 4}, QuantizeOptions{Scheme::kF32, 32, 32}})
    for (const char* name : {"qwen2", "qwen3", "llama-linear"}) {
      const files::TempDir dir;
      const std::string cache = dir / "a/b";
      const LoadedModel plain = load(golden_dir(name), options);
      const LoadedModel first = load(golden_dir(name), options, cache);
      CHECK_EQ(files_in(cache).size(), 1u);
      std::map<std::string, int> phases;
      const LoadedModel second = load_model(golden_dir(name), options, cache,
                                            [&](const char* phase, uint64_t, uint64_t) { return ++phases[phase] > 0; });
      CHECK_EQ(phases.count("quantize"), 0u);  // read, not made anew
      CHECK(weights_equal(plain.weights, first.weights));
      CHECK(weights_equal(plain.weights, second.weights));
      CHECK_EQ(second.digest, plain.digest);
    }
}

TEST(a_damaged_cache_is_ignored_and_replaced) {
  const files::TempDir dir;
  const std::string cache = dir / "cache";
  const LoadedModel plain = load(golden_dir("mistral"), kW4, cache);
  const std::string file = files_in(cache).at(0), whole = files::read_file(file);
  for (const size_t at : {size_t{3}, size_t{40}, size_t{150}, whole.size() / 2, whole.size() - 1}) {
    std::string broken = whole;
    broken[at] ^= 4;
    files::write_file(file, broken);
    CHECK(weights_equal(load(golden_dir("mistral"), kW4, cache).weights, plain.weights));
    CHECK(files::read_file(file) == whole);
  }
  for (const size_t length : {size_t{0}, size_t{5}, whole.size() - 1}) {
    files::write_file(file, whole.substr(0, length));
    CHECK(weights_equal(load(golden_dir("mistral"), kW4, cache).weights, plain.weights));
    CHECK(files::read_file(file) == whole);
  }
  CHECK_EQ(files_in(cache).size(), 1u);  // no temporary files left
}

TEST(an_unwritable_cache_does_no_harm) {
  const files::TempDir dir;
  files::write_file(dir / "file", "x");
  CHECK_EQ(load(golden_dir("mistral"), kW4, dir / "file/cache").weights.layers.size(), 2u);
}

TEST(progress_adds_up_and_can_stop) {
  std::map<std::string, std::pair<uint64_t, uint64_t>> last;
  load_model(golden_dir("llama2"), kW4, "", [&](const char* phase, uint64_t done, uint64_t total) {
    CHECK(done <= total);
    CHECK(done >= last[phase].first);
    last[phase] = {done, total};
    return true;
  });
  CHECK_EQ(last.size(), 2u);
  for (const char* phase : {"read", "quantize"}) {
    CHECK(last[phase].first > 0);
    CHECK_EQ(last[phase].first, last[phase].second);
  }
  CHECK_THROWS(PG_CANCELLED, "", "stopped",
               load_model(golden_dir("llama2"), kW4, "",
                          [](const char* phase, uint64_t, uint64_t) { return std::string(phase) != "quantize"; }));
}
