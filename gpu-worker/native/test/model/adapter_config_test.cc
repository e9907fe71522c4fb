#include "model/adapter_config.h"

#include <cmath>

#include "test/check.h"

using namespace polygraft;

namespace {

std::string config(const std::string& members) { return "{\"peft_type\":\"LORA\"," + members + "}"; }
std::string config_qv(const std::string& members) {
  return config("\"r\":8,\"lora_alpha\":16,\"target_modules\":[\"q_proj\",\"v_proj\"]" +
                (members.empty() ? "" : "," + members));
}
std::string module(int layer, const std::string& name) {
  return "model.layers." + std::to_string(layer) +
         (name[0] == 'g' || name[0] == 'u' || name[0] == 'd' ? ".mlp." : ".self_attn.") + name;
}
void refused(pg_code code, const std::string& field, const std::string& part, const std::string& text) {
  CHECK_THROWS(code, field, part, AdapterConfig{text});
}

}  // namespace

TEST(lists_of_names) {
  const AdapterConfig c(config_qv("\"base_model_name_or_path\":\"org/base\",\"task_type\":\"CAUSAL_LM\""));
  CHECK_EQ(c.base_model(), std::string("org/base"));
  CHECK(c.targets(module(0, "q_proj")));
  CHECK(c.targets(module(31, "v_proj")));
  CHECK(!c.targets(module(0, "k_proj")));
  CHECK(!c.targets("model.layers.0.self_attn.xq_proj"));
  CHECK_EQ(c.rank(module(0, "q_proj")), 8u);
  CHECK_EQ(c.scaling(module(0, "q_proj")), 2.0f);
}

TEST(names_with_a_path) {
  const AdapterConfig c(config("\"r\":1,\"target_modules\":[\"1.self_attn.q_proj\",\"model.layers.0.mlp.up_proj\"]"));
  CHECK(c.targets(module(1, "q_proj")));
  CHECK(!c.targets(module(0, "q_proj")));
  CHECK(!c.targets(module(11, "q_proj")));  // ends in "1.self_attn.q_proj", but not after a dot
  CHECK(c.targets(module(0, "up_proj")));
  CHECK(!c.targets(module(1, "up_proj")));
}

TEST(patterns_and_all_linear) {
  const AdapterConfig pattern(config(R"("target_modules":".*layers\\.(0|2)\\..*(q|gate)_proj")"));
  CHECK(pattern.targets(module(2, "gate_proj")));
  CHECK(!pattern.targets(module(1, "gate_proj")));
  const AdapterConfig all(config("\"target_modules\":\"all-linear\""));
  for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})
    CHECK(all.targets(module(5, name)));
  CHECK(!all.targets("lm_head"));
}

TEST(exclusions) {
  const AdapterConfig list(config_qv("\"exclude_modules\":[\"v_proj\",\"0.self_attn.q_proj\"]"));
  CHECK(!list.targets(module(1, "v_proj")));
  CHECK(!list.targets(module(0, "q_proj")));
  CHECK(list.targets(module(1, "q_proj")));
  const AdapterConfig pattern(config_qv(R"("exclude_modules":".*layers\\.[01]\\..*")"));
  CHECK(!pattern.targets(module(1, "q_proj")));
  CHECK(pattern.targets(module(2, "q_proj")));
}

TEST(layers_to_transform) {
  const AdapterConfig one(config_qv("\"layers_to_transform\":3"));
  CHECK(one.targets(module(3, "q_proj")));
  CHECK(!one.targets(module(0, "q_proj")));
  const AdapterConfig two(config_qv("\"layers_to_transform\":[1,12],\"layers_pattern\":\"layers\""));
  CHECK(two.targets(module(12, "v_proj")));
  CHECK(!two.targets(module(2, "v_proj")));
  const AdapterConfig other(config_qv("\"layers_to_transform\":[1],\"layers_pattern\":[\"h\"]"));
  CHECK(!other.targets(module(1, "q_proj")));
  const AdapterConfig empty(config_qv("\"layers_to_transform\":[]"));
  CHECK(empty.targets(module(1, "q_proj")));
}

TEST(rank_alpha_and_scaling) {
  const AdapterConfig c(config(
      R"("r":4,"lora_alpha":8,"target_modules":"all-linear","rank_pattern":{"q_proj":16,"0.self_attn.q_proj":2,"^model.layers.1.mlp.up_proj":9},"alpha_pattern":{".*layers\\.1\\..*":3})"));
  CHECK_EQ(c.rank(module(0, "q_proj")), 16u);  // the first key of the file that matches
  CHECK_EQ(c.rank(module(1, "up_proj")), 9u);
  CHECK_EQ(c.rank(module(0, "up_proj")), 4u);
  CHECK_EQ(c.scaling(module(0, "up_proj")), 2.0f);
  CHECK_EQ(c.scaling(module(1, "q_proj")), 3.0f / 16.0f);
  const AdapterConfig rslora(config("\"r\":3,\"lora_alpha\":5,\"use_rslora\":true,\"target_modules\":\"all-linear\""));
  CHECK_EQ(rslora.scaling(module(0, "q_proj")), static_cast<float>(5 / std::sqrt(3.0)));
}

TEST(training_keys_are_ignored) {
  const AdapterConfig c(config_qv(
      R"("lora_dropout":0.1,"inference_mode":true,"init_lora_weights":"gaussian","loftq_config":{},"megatron_core":"megatron.core",
         "revision":"main","runtime_config":{"a":1},"use_dora":false,"modules_to_save":null,"bias":"none","layer_replication":null,
         "unknown_key_that_is_off":false,"another":[],"qalora_group_size":16,"eva_config":{"rho":2})"));
  CHECK(c.targets(module(0, "q_proj")));
}

TEST(what_is_not_served_is_refused_by_key) {
  const std::pair<const char*, const char*> cases[] = {{"use_dora", "true"},
                                                       {"modules_to_save", "[\"lm_head\"]"},
                                                       {"trainable_token_indices", "[1]"},
                                                       {"lora_bias", "true"},
                                                       {"layer_replication", "[[0,1]]"},
                                                       {"target_parameters", "[\"x\"]"},
                                                       {"alora_invocation_tokens", "[1]"},
                                                       {"use_qalora", "true"},
                                                       {"megatron_config", "{\"a\":1}"},
                                                       {"bias", "\"all\""},
                                                       {"fan_in_fan_out", "true"},
                                                       {"task_type", "\"SEQ_CLS\""},
                                                       {"init_lora_weights", "\"pissa\""},
                                                       {"init_lora_weights", "\"olora\""},
                                                       {"some_future_key", "1"}};
  for (const auto& [key, value] : cases)
    refused(PG_UNIMPLEMENTED, key, key, config_qv("\"" + std::string(key) + "\":" + value));
  refused(PG_UNIMPLEMENTED, "peft_type", "must be", R"({"peft_type":"LOHA","target_modules":["q_proj"]})");
  refused(PG_UNIMPLEMENTED, "peft_type", "must be", R"({"target_modules":["q_proj"]})");
  refused(PG_UNIMPLEMENTED, "target_modules", "lm_head", config(R"("target_modules":["q_proj","lm_head"])"));
  refused(PG_UNIMPLEMENTED, "target_modules", "embed_tokens", config(R"("target_modules":".*embed_tokens")"));
  refused(PG_UNIMPLEMENTED, "target_modules", "not served", config(R"("target_modules":"(?!lm_head).*")"));
}

TEST(values_out_of_range_are_refused_by_key) {
  refused(PG_DATA_LOSS, "adapter_config.json", "JSON", "{");
  refused(PG_FAILED_PRECONDITION, "target_modules", "missing", config("\"r\":8"));
  refused(PG_FAILED_PRECONDITION, "r", "from 1 to 256", config_qv("").replace(config_qv("").find(":8,"), 3, ":0,"));
  refused(PG_FAILED_PRECONDITION, "r", "from 1 to 256", config_qv("").replace(config_qv("").find(":8,"), 3, ":257,"));
  refused(PG_FAILED_PRECONDITION, "rank_pattern.q_proj", "from 1 to 256", config_qv("\"rank_pattern\":{\"q_proj\":0}"));
  refused(PG_FAILED_PRECONDITION, "rank_pattern.q_proj", "missing", config_qv("\"rank_pattern\":{\"q_proj\":null}"));
  refused(PG_FAILED_PRECONDITION, "rank_pattern", "lacks a )", config_qv("\"rank_pattern\":{\"(q_proj\":1}"));
  refused(PG_FAILED_PRECONDITION, "alpha_pattern", "must be an object", config_qv("\"alpha_pattern\":3"));
  refused(PG_FAILED_PRECONDITION, "use_rslora", "true or false", config_qv("\"use_rslora\":\"yes\""));
  refused(PG_FAILED_PRECONDITION, "target_modules", "list of strings", config("\"target_modules\":[1]"));
  refused(PG_FAILED_PRECONDITION, "rank_pattern", "bytes of keys",
          config_qv("\"rank_pattern\":{\"" + std::string(70'000, 'a') + "\":1}"));
}
