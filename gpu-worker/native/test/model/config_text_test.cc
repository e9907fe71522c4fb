// What is written as config.json reads as the config that it was made from.
#include "model/config_text.h"

#include "test/check.h"
#include "test/support/golden.h"

using namespace polygraft;

namespace {

void check_same(const ModelConfig& a, const ModelConfig& b) {
  CHECK_EQ(a.vocab_size, b.vocab_size);
  CHECK_EQ(a.hidden_size, b.hidden_size);
  CHECK_EQ(a.ffn_size, b.ffn_size);
  CHECK_EQ(a.layers, b.layers);
  CHECK_EQ(a.heads, b.heads);
  CHECK_EQ(a.kv_heads, b.kv_heads);
  CHECK_EQ(a.head_dim, b.head_dim);
  CHECK_EQ(a.max_position, b.max_position);
  CHECK_EQ(a.sliding_window, b.sliding_window);
  CHECK_EQ(a.rms_eps, b.rms_eps);
  CHECK_EQ(a.rope_theta, b.rope_theta);
  CHECK(a.rope_scaling.kind == b.rope_scaling.kind);
  CHECK_EQ(a.rope_scaling.factor, b.rope_scaling.factor);
  CHECK_EQ(a.rope_scaling.low_freq_factor, b.rope_scaling.low_freq_factor);
  CHECK_EQ(a.rope_scaling.high_freq_factor, b.rope_scaling.high_freq_factor);
  CHECK_EQ(a.tied_head, b.tied_head);
  CHECK_EQ(a.qkv_bias, b.qkv_bias);
  CHECK_EQ(a.o_bias, b.o_bias);
  CHECK_EQ(a.mlp_bias, b.mlp_bias);
  CHECK_EQ(a.qk_norm, b.qk_norm);
  CHECK(a.eos_token_ids == b.eos_token_ids);
  CHECK_EQ(a.bos_token_id, b.bos_token_id);
}

}  // namespace

TEST(golden_configs_come_back) {
  for (const golden::GoldenModel& model : golden::models()) {
    const ModelConfig config = read_model_config(model.dir);
    const ModelConfig again = parse_model_config(config_text(config), "");
    CHECK_EQ(again.architecture, config.architecture);
    check_same(again, config);
  }
}

TEST(windows_of_every_family_come_back) {
  for (const char* name : {"llama", "mistral", "qwen2", "qwen3"})
    for (const uint32_t window : {0u, 40u}) {
      ModelConfig config = read_model_config(std::string(PG_GOLDEN_DIR) + "/llama2");
      config.architecture = name;
      config.qkv_bias = config.architecture == "qwen2";
      config.qk_norm = config.architecture == "qwen3";
      config.sliding_window = window;
      check_same(parse_model_config(config_text(config), ""), config);
    }
}

TEST(divisors_of_rope_come_back_bit_for_bit) {
  ModelConfig config = read_model_config(std::string(PG_GOLDEN_DIR) + "/llama2");
  config.rope_scaling.kind = RopeScaling::Kind::kFactors;
  for (uint32_t i = 0; i < config.head_dim / 2; ++i)
    config.rope_scaling.factors.push_back(1.0f + 31.0f / static_cast<float>(i + 1) / 3.0f);
  const ModelConfig again = parse_model_config(config_text(config), "");
  check_same(again, config);
  CHECK(again.rope_scaling.factors == config.rope_scaling.factors);
}

TEST(what_config_json_has_no_words_for_is_refused) {
  ModelConfig config = read_model_config(std::string(PG_GOLDEN_DIR) + "/llama2");
  config.qkv_bias = true;
  CHECK_THROWS(PG_UNIMPLEMENTED, "blk.0.attn_output.bias", "all matrices of attention or to none", config_text(config));
}
