#include "model/stored.h"

#include <filesystem>
#include <functional>

#include "model/checkpoint.h"
#include "test/check.h"
#include "test/support/files.h"
#include "test/support/golden.h"
#include "test/support/weights.h"

using namespace polygraft;

namespace {

std::string golden_dir(const std::string& name) { return std::string(PG_GOLDEN_DIR) + "/" + name; }

LoadedModel load(const std::string& dir, const QuantizeOptions& options = {}) {
  return load_model(dir, options, "", {});
}

// A golden model as `polygraft quantize` would leave it.
struct Stored {
  files::TempDir dir;
  QuantizeOptions options;
  ModelWeights weights;

  explicit Stored(const std::string& name, const QuantizeOptions& as = {}) : options(as) {
    LoadedModel model = load(golden_dir(name), options);
    weights = std::move(model.weights);
    std::filesystem::copy_file(golden_dir(name) + "/config.json", dir / "config.json");
    write_stored(file(), model.config, options, weights, {{"note", "of a test"}});
  }
  std::string file() const { return dir / "model.safetensors"; }

  // Changes one array of the file.
  void edit(const std::string& name, const std::function<void(files::Tensor&)>& change) const {
    const auto metadata = SafetensorsFile(file()).header().metadata;
    std::vector<files::Tensor> tensors = files::read_tensors(file());
    for (files::Tensor& tensor : tensors)
      if (tensor.name == name) change(tensor);
    files::write_tensors(file(), tensors, metadata);
  }
  void edit_metadata(const std::string& key, const std::string& value) const {
    auto metadata = SafetensorsFile(file()).header().metadata;
    metadata[key] = value;
    files::write_tensors(file(), files::read_tensors(file()), metadata);
  }
};

const std::string kUp = "model.layers.0.mlp.up_proj.weight";

}  // namespace

TEST(what_was_written_is_served_bit_for_bit_whatever_is_asked_for) {
  for (const QuantizeOptions& options :
       {QuantizeOptions{Scheme::kW4, 32, 8}, QuantizeOptions{Scheme::kW4, 128, 4}, QuantizeOptions{Scheme::kNf4, 64, 8},
        QuantizeOptions{Scheme::kW8, 32, 8},
        QuantizeOptions{Scheme::kF32, 32, 32}})
    for (const char* name : {"qwen2", "qwen3", "llama-linear", "llama3"}) {
      const Stored stored(name, options);
      const LoadedModel model = load(stored.dir.path(), {Scheme::kW4, 64, 8});
      CHECK(weights_equal(model.weights, stored.weights));
      CHECK_EQ(model.options.scheme, options.scheme);
      CHECK_EQ(model.options.group, options.group);
      CHECK_EQ(model.options.head_bits, options.head_bits);
      CHECK(model.digest != load(golden_dir(name), options).digest);  // other bytes, another model
      CHECK_EQ(model.digest, load(stored.dir.path()).digest);
    }
}

TEST(plain_grids_survive_a_file) {
  const Stored stored("mistral", {Scheme::kW4, 32, 8, Grid::kSymmetric});
  CHECK(weights_equal(load(stored.dir.path()).weights, stored.weights));
}

TEST(a_stored_model_in_f32_has_the_values_that_its_codes_stand_for) {
  const Stored stored("llama-linear", {Scheme::kW4, 64, 8});
  const LoadedModel model = load(stored.dir.path(), {Scheme::kF32, 32, 32});
  CHECK_EQ(model.options.scheme, Scheme::kF32);
  const auto compare = [](const WeightMatrix& expanded, const WeightMatrix& codes) {
    REQUIRE(expanded.scheme == Scheme::kF32 && expanded.n == codes.n && expanded.k == codes.k);
    for (uint32_t r = 0; r < codes.n; ++r)
      for (uint32_t c = 0; c < codes.k; ++c)
        CHECK_EQ(expanded.values[size_t{r} * codes.k + c], dequantize(codes, r, c));
  };
  compare(model.weights.embedding, stored.weights.embedding);
  compare(model.weights.head, stored.weights.head);
  for (size_t p = 0; p < 7; ++p) compare(model.weights.layers[1].projections[p], stored.weights.layers[1].projections[p]);
}

TEST(folders_of_floats_are_not_stored_ones) {
  CHECK(!stored_options(Checkpoint(golden_dir("mistral"))).has_value());
  CHECK(!stored_options(Checkpoint(golden_dir("llama-linear"))).has_value());  // shards
}

TEST(metadata_that_this_engine_does_not_know_is_refused_by_key) {
  const auto refused = [](const char* key, const char* value, const char* part) {
    const Stored stored("mistral");
    stored.edit_metadata(key, value);
    CHECK_THROWS(PG_UNIMPLEMENTED, key, part, load(stored.dir.path()));
  };
  refused("format", "polygraft-weights-2", "polygraft-weights-2");
  refused("scheme", "w3", "w3");
  refused("group", "16", "16");
  refused("group", "32x", "32x");
  refused("group", "99999999999999999999", "99999999999999999999");
  refused("head_bits", "", "not served");

  const Stored silent("mistral");
  files::write_tensors(silent.file(), files::read_tensors(silent.file()), {{"format", "polygraft-weights-1"}});
  CHECK_THROWS(PG_DATA_LOSS, "scheme", "does not say its scheme", load(silent.dir.path()));
}

TEST(arrays_at_fault_are_named) {
  const Stored cut("mistral");
  cut.edit(kUp + ".codes", [](files::Tensor& t) {
    t.shape[0] -= 1;
    t.bytes.resize(t.shape[0] * t.shape[1]);
  });
  CHECK_THROWS(PG_FAILED_PRECONDITION, kUp + ".codes", "config.json and format call for", load(cut.dir.path()));

  const Stored renamed("mistral");
  renamed.edit(kUp + ".scales", [](files::Tensor& t) { t.name += "x"; });
  CHECK_THROWS(PG_FAILED_PRECONDITION, kUp + ".scales", "lacks tensor", load(renamed.dir.path()));

  const Stored other_type("mistral");
  other_type.edit(kUp + ".scales", [](files::Tensor& t) { t.dtype = DType::kBf16; });
  CHECK_THROWS(PG_FAILED_PRECONDITION, kUp + ".scales", "BF16", load(other_type.dir.path()));

  const Stored regrouped("mistral");  // metadata and arrays disagree
  regrouped.edit_metadata("group", "64");
  CHECK_THROWS(PG_FAILED_PRECONDITION, "model.layers.0.self_attn.q_proj.weight.scales", "call for",
               load(regrouped.dir.path()));

  const Stored extra("mistral");
  const auto metadata = SafetensorsFile(extra.file()).header().metadata;
  auto tensors = files::read_tensors(extra.file());
  tensors.push_back({"other", DType::kU8, {1}, "0"});
  files::write_tensors(extra.file(), tensors, metadata);
  CHECK_THROWS(PG_UNIMPLEMENTED, "model.safetensors", "tensors; config.json calls for", load(extra.dir.path()));
}

TEST(numbers_that_would_spoil_every_answer_are_refused) {
  for (const char* array : {".scales", ".minimums"})
    for (const char* high : {"\x7c", "\x7e", "\xfc"}) {  // infinity, NaN, minus infinity
      const Stored stored("mistral");
      stored.edit(kUp + array, [&](files::Tensor& t) {
        t.bytes[6] = '\0';
        t.bytes[7] = high[0];
      });
      CHECK_THROWS(PG_DATA_LOSS, kUp + array, "NaN or infinity", load(stored.dir.path()));
    }
  const Stored stored("mistral");
  stored.edit("model.norm.weight", [](files::Tensor& t) { t.bytes.replace(4, 4, std::string("\0\0\x80\x7f", 4)); });
  CHECK_THROWS(PG_DATA_LOSS, "model.norm.weight", "NaN or infinity", load(stored.dir.path()));
}

TEST(a_file_that_cannot_be_written_leaves_nothing) {
  Stored stored("mistral");
  const LoadedModel model = load(stored.dir.path());
  const std::string path = stored.dir / "none/model.safetensors";
  CHECK_THROWS(PG_INTERNAL, "out_file", "cannot be written",
               write_stored(path, model.config, stored.options, stored.weights, {}));
  CHECK(!std::filesystem::exists(path));
}
