// The golden models as GGUF files: the same weights as their safetensors, and 4-bit ones on the file's own grid.
#include "model/gguf_model.h"

#include <algorithm>
#include <cmath>

#include "model/half.h"
#include "model/loader.h"
#include "model/weight_list.h"
#include "test/check.h"
#include "test/support/files.h"
#include "test/support/gguf_bytes.h"
#include "test/support/gguf_model.h"
#include "test/support/weights.h"

using namespace polygraft;
using files::GgufMatrices;

namespace {

const QuantizeOptions kW4 = {Scheme::kW4, 64, 8}, kF32 = {Scheme::kF32, 32, 32};
const char* const kModels[] = {"llama2", "llama3", "llama-linear", "mistral", "qwen2", "qwen3"};

std::string golden_dir(const std::string& name) { return std::string(PG_GOLDEN_DIR) + "/" + name; }

// A golden model's GGUF file.
struct Converted {
  files::TempDir dir;
  std::string path = dir / "model.gguf";
  std::string bytes;
  explicit Converted(const std::string& name, GgufMatrices matrices = GgufMatrices::kF32)
      : bytes(files::gguf_of_folder(golden_dir(name), matrices)) {}
  LoadedModel load(const QuantizeOptions& options = kW4, const std::string& cache = "") const {
    files::write_file(path, bytes);
    return load_model(path, options, cache, {});
  }
  // The same with one key's or tensor's name changed, which takes it out of the file.
  void hide(const std::string& name) {
    bytes.replace(bytes.find(files::gguf_text(name)) + 8, 1, "X");
  }
};

}  // namespace

TEST(a_gguf_file_gives_the_weights_of_its_source_bit_for_bit) {
  for (const char* name : kModels)
    for (const QuantizeOptions& options : {kW4, kF32}) {
      const LoadedModel source = load_model(golden_dir(name), options, "", {});
      const LoadedModel model = Converted(name).load(options);
      if (!weights_equal(source.weights, model.weights)) check::fail(__FILE__, __LINE__, name);
      CHECK_EQ(model.options.group, options.group);
    }
}

TEST(the_config_is_that_of_the_source) {
  for (const char* name : kModels) {
    const ModelConfig source = read_model_config(golden_dir(name));
    const ModelConfig config = Converted(name).load().config;
    CHECK_EQ(config.vocab_size, source.vocab_size);
    CHECK_EQ(config.heads, source.heads);
    CHECK_EQ(config.kv_heads, source.kv_heads);
    CHECK_EQ(config.head_dim, source.head_dim);
    CHECK_EQ(config.tied_head, source.tied_head);
    CHECK_EQ(config.qkv_bias, source.qkv_bias);
    CHECK_EQ(config.o_bias, source.o_bias);
    CHECK_EQ(config.mlp_bias, source.mlp_bias);
    CHECK_EQ(config.qk_norm, source.qk_norm);
    CHECK_EQ(config.rms_eps, source.rms_eps);
    CHECK_EQ(config.sliding_window, source.sliding_window);
    // The named end and the control token spelled like one; "<|end|>" is an ordinary token there.
    CHECK(config.eos_token_ids == (std::vector<uint32_t>{7, 1}));
    if (source.rope_scaling.kind == RopeScaling::Kind::kLlama3)
      CHECK(config.rope_scaling.kind == RopeScaling::Kind::kFactors);
    else
      CHECK(config.rope_scaling.kind == source.rope_scaling.kind);
  }
}

namespace {

// Weights of a matrix that are not what the file says, by more than `bound` of the largest in its group.
size_t wrong_weights(const WeightMatrix& w, const WeightMatrix& f, double bound = 0) {
  size_t wrong = 0;
  for (uint32_t r = 0; r < w.n; ++r)
    for (uint32_t c = 0; c < w.k; ++c) {
      double largest = 0;
      for (uint32_t i = c - c % w.group; i < std::min(w.k, c - c % w.group + w.group); ++i)
        largest = std::max(largest, std::abs(double{f.values[size_t{r} * w.k + i]}));
      wrong += std::abs(double{dequantize(w, r, c)} - f.values[size_t{r} * w.k + c]) > bound * largest;
    }
  return wrong;
}

}  // namespace

// Codes as the file has them, exact scales and minimums, so exactly the weights that the file stands for: whatever group
// size was asked for.
TEST(files_stay_on_their_own_grid) {
  const std::pair<GgufMatrices, Scheme> types[] = {{GgufMatrices::kQ4_0, Scheme::kW4},
                                                   {GgufMatrices::kQ4_1, Scheme::kW4},
                                                   {GgufMatrices::kQ5_0, Scheme::kW8},
                                                   {GgufMatrices::kQ8_0, Scheme::kW8}};
  for (const auto& [matrices, scheme] : types)
    for (const char* name : {"llama2", "llama3", "qwen2", "qwen3"}) {
      const Converted file(name, matrices);
      const LoadedModel held = file.load(kW4), exact = file.load(kF32);
      for (size_t i = 0; i < held.weights.layers.size(); ++i)
        for (size_t p = 0; p < 7; ++p) {
          const WeightMatrix& w = held.weights.layers[i].projections[p];
          CHECK(w.scheme == scheme);
          CHECK_EQ(w.group, 32u);
          CHECK_EQ(wrong_weights(w, exact.weights.layers[i].projections[p]), 0u);
        }
    }
}

// What no scheme can express is held so finely that an eighth of its step is left, at most: 5 bits have 31 steps over the
// range of a group, 8 have 127 up to its largest weight.
TEST(mixtures_are_held_matrix_by_matrix) {
  for (const char* name : {"llama2", "qwen3"}) {
    const Converted file(name, GgufMatrices::kMixture);
    const LoadedModel held = file.load(kW4), exact = file.load(kF32);
    for (size_t i = 0; i < held.weights.layers.size(); ++i) {
      const auto check = [&](Projection projection, Scheme scheme, double bound) {
        const WeightMatrix& w = held.weights.layers[i].projections[static_cast<size_t>(projection)];
        CHECK(w.scheme == scheme);
        CHECK_EQ(w.group, 32u);
        CHECK_EQ(wrong_weights(w, exact.weights.layers[i].projections[static_cast<size_t>(projection)], bound), 0u);
      };
      constexpr double kRounded = 0.51 / 127;
      check(Projection::kQ, Scheme::kW4, 0);
      check(Projection::kK, Scheme::kW8, 0);
      check(Projection::kV, Scheme::kW8, 0);
      check(Projection::kO, Scheme::kW8, kRounded);  // F32 in the file
      check(Projection::kGate, Scheme::kW4, 0);
      check(Projection::kUp, Scheme::kW8, kRounded);
      check(Projection::kDown, Scheme::kW4, 0);
    }
  }
}

TEST(bits_are_given_up_when_a_scheme_is_asked_for) {
  QuantizeOptions asked = kW4;
  asked.keep = Keep::kGrids;
  const Converted eight("llama2", GgufMatrices::kQ8_0);
  const LoadedModel four = eight.load(asked), kept = eight.load(kW4);
  CHECK(four.digest != kept.digest);
  for (const WeightMatrix& w : four.weights.layers[0].projections) {
    CHECK(w.scheme == Scheme::kW4);
    CHECK_EQ(w.group, 64u);
  }
  asked.scheme = Scheme::kW8;
  CHECK(eight.load(asked).weights.layers[0].projections[0].scheme == Scheme::kW8);
  const LoadedModel mixed = Converted("llama2", GgufMatrices::kMixture).load(asked);  // four bits stay
  CHECK(mixed.weights.layers[0].projections[0].scheme == Scheme::kW4);
  CHECK_EQ(mixed.weights.layers[0].projections[0].group, 32u);
  CHECK_EQ(mixed.weights.layers[0].projections[1].group, 64u);
  // Full precision has nothing to keep.
  asked.scheme = Scheme::kW4;
  CHECK_EQ(Converted("llama2").load(asked).digest, Converted("llama2").load(kW4).digest);
}

TEST(eight_bit_heads_stay_on_their_own_grid) {
  std::string blocks;
  for (int b = 0; b < 256 * 2; ++b) {
    blocks += files::le(float_to_fp16(0.01f + 1e-4f * static_cast<float>(b)));
    for (int i = 0; i < 32; ++i) blocks += static_cast<char>((b * 37 + i * 11) % 255 - 127);
  }
  Converted file("llama2");
  // Put over the F32 embedding, which is larger: type and bytes change, the offsets stay.
  const size_t entry = file.bytes.find(files::gguf_text("token_embd.weight")) + 8 + 17 + 4 + 16;
  file.bytes.replace(entry, 4, files::le<uint32_t>(8));
  const GgufTensor tensor = files::parse_gguf(file.bytes).tensors().at("token_embd.weight");
  REQUIRE(tensor.bytes == blocks.size());
  file.bytes.replace(tensor.begin, blocks.size(), blocks);
  const LoadedModel held = file.load(kW4), exact = file.load(kF32);
  const WeightMatrix& w = held.weights.embedding;
  CHECK(w.scheme == Scheme::kW8);
  CHECK_EQ(w.group, 32u);
  size_t wrong = 0;
  for (uint32_t r = 0; r < w.n; ++r)
    for (uint32_t c = 0; c < w.k; ++c)
      wrong += dequantize(w, r, c) != exact.weights.embedding.values[size_t{r} * w.k + c];
  CHECK_EQ(wrong, 0u);
}

TEST(cached_files_are_read_back) {
  for (const GgufMatrices matrices : {GgufMatrices::kQ4_1, GgufMatrices::kMixture}) {
    const Converted file("llama2", matrices);
    const std::string cache = file.dir / "cache";
    const LoadedModel first = file.load(kW4, cache), second = file.load(kW4, cache);
    CHECK_EQ(first.digest, second.digest);
    CHECK(weights_equal(first.weights, second.weights));
  }
}

TEST(what_lacks_or_contradicts_is_named) {
  const auto hidden = [](const char* name) {
    Converted file("llama2");
    file.hide(name);
    file.load();
  };
  CHECK_THROWS(PG_FAILED_PRECONDITION, "llama.embedding_length", "is missing", hidden("llama.embedding_length"));
  CHECK_THROWS(PG_FAILED_PRECONDITION, "blk.1.ffn_up.weight", "lacks tensor", hidden("blk.1.ffn_up.weight"));
  CHECK_THROWS(PG_FAILED_PRECONDITION, "token_embd.weight", "is missing", hidden("token_embd.weight"));
  CHECK_THROWS(PG_UNIMPLEMENTED, "general.architecture", "serves llama, qwen2 and qwen3", hidden("general.architecture"));
  const auto changed = [](const std::string& key, const std::string& value) {
    Converted file("llama2");
    const size_t at = file.bytes.find(files::gguf_text(key)) + 8 + key.size();
    file.bytes.replace(at, value.size(), value);
    file.load();
  };
  CHECK_THROWS(PG_FAILED_PRECONDITION, "token_embd.weight", "the metadata calls for",
               changed("llama.embedding_length", files::gguf_u32(96)));
  CHECK_THROWS(PG_FAILED_PRECONDITION, "llama.block_count", "outside of 1 to 256",
               changed("llama.block_count", files::gguf_u32(1u << 30)));
  CHECK_THROWS(PG_UNIMPLEMENTED, "blk.1.attn_k.weight", "does not use", changed("llama.block_count", files::gguf_u32(1)));
  CHECK_THROWS(PG_FAILED_PRECONDITION, "llama.attention.head_count_kv", "must divide",
               changed("llama.attention.head_count_kv", files::gguf_u32(3)));
}

TEST(broken_numbers_are_refused) {
  Converted file("llama2", GgufMatrices::kQ4_0);
  const GgufTensor tensor = files::parse_gguf(file.bytes).tensors().at("blk.0.ffn_up.weight");
  file.bytes.replace(tensor.begin, 2, files::le<uint16_t>(0x7e00));  // NaN
  CHECK_THROWS(PG_DATA_LOSS, "blk.0.ffn_up.weight", "NaN", file.load());
  file.bytes.replace(tensor.begin, 2, files::le<uint16_t>(0x7000));  // 8192: times 8 is more than fp16 has
  CHECK_THROWS(PG_DATA_LOSS, "blk.0.ffn_up.weight", "too large", file.load());
}
