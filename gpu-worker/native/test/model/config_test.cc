#include "model/config.h"

#include "test/check.h"

using namespace polygraft;

namespace {

constexpr const char* kLlama = R"({"architectures":["LlamaForCausalLM"],"vocab_size":100,"hidden_size":64,
  "intermediate_size":128,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,
  "max_position_embeddings":512,"rms_norm_eps":1e-5,"hidden_act":"silu","eos_token_id":2,"bos_token_id":1,"use_cache":true})";

// kLlama with members added (and the keys of the same name removed first).
std::string with(const std::string& members, std::string text = kLlama) {
  const size_t quote = members.find('"', 1);
  const std::string key = members.substr(0, quote + 1) + ":";
  if (const size_t at = text.find(key); at != std::string::npos) {
    size_t end = text.find_first_of(",}", text.find_first_of("]", at) < text.find(',', at) ? text.find(']', at) : at);
    if (text[end] == ',') ++end;
    text.erase(at, end - at);
  }
  text.insert(1, members + ",");
  return text;
}
std::string architecture(const std::string& name, const std::string& members = "") {
  const std::string text = with("\"architectures\":[\"" + name + "\"]");
  return members.empty() ? text : with(members, text);
}

ModelConfig parse(const std::string& text, const std::string& generation = "") {
  return parse_model_config(text, generation);
}
void refused(pg_code code, const std::string& field, const std::string& part, const std::string& text) {
  CHECK_THROWS(code, field, part, parse(text));
}

}  // namespace

TEST(a_llama_config) {
  const ModelConfig c = parse(kLlama);
  CHECK_EQ(c.architecture, std::string("llama"));
  CHECK_EQ(c.vocab_size, 100u);
  CHECK_EQ(c.hidden_size, 64u);
  CHECK_EQ(c.ffn_size, 128u);
  CHECK_EQ(c.layers, 2u);
  CHECK_EQ(c.heads, 4u);
  CHECK_EQ(c.kv_heads, 2u);
  CHECK_EQ(c.head_dim, 16u);
  CHECK_EQ(c.max_position, 512u);
  CHECK_EQ(c.sliding_window, 0u);
  CHECK_EQ(c.rms_eps, 1e-5f);
  CHECK_EQ(c.rope_theta, 10000.0f);
  CHECK(c.rope_scaling.kind == RopeScaling::Kind::kNone);
  CHECK(!c.tied_head && !c.qkv_bias && !c.o_bias && !c.mlp_bias && !c.qk_norm);
  CHECK(c.eos_token_ids == std::vector<uint32_t>{2});
  CHECK_EQ(c.bos_token_id, 1);
  CHECK_EQ(projection_shape(c, Projection::kK).n, 32u);
  CHECK_EQ(projection_shape(c, Projection::kDown).k, 128u);
}

TEST(families_differ_in_biases_norms_and_head_dim) {
  const ModelConfig llama = parse(with(R"("attention_bias":true)", with(R"("mlp_bias":true)")));
  CHECK(llama.qkv_bias && llama.o_bias && llama.mlp_bias);
  const ModelConfig qwen2 = parse(architecture("Qwen2ForCausalLM"));
  CHECK(qwen2.qkv_bias && !qwen2.o_bias && !qwen2.qk_norm);
  CHECK_EQ(qwen2.head_dim, 16u);
  const ModelConfig qwen3 = parse(architecture("Qwen3ForCausalLM"));
  CHECK(!qwen3.qkv_bias && qwen3.qk_norm);
  CHECK_EQ(qwen3.head_dim, 128u);  // its class's default; null means hidden / heads
  CHECK_EQ(parse(architecture("Qwen3ForCausalLM", R"("head_dim":null)")).head_dim, 16u);
  CHECK_EQ(parse(architecture("MistralForCausalLM", R"("head_dim":32)")).head_dim, 32u);
  CHECK_EQ(parse(with(R"("num_key_value_heads":null)")).kv_heads, 4u);
  CHECK_EQ(parse(with(R"("model_type":"qwen2")", with(R"("architectures":null)"))).architecture, std::string("qwen2"));
}

TEST(rope_in_all_spellings) {
  const ModelConfig old_linear = parse(with(R"("rope_scaling":{"type":"linear","factor":4.0})"));
  CHECK(old_linear.rope_scaling.kind == RopeScaling::Kind::kLinear);
  CHECK_EQ(old_linear.rope_scaling.factor, 4.0f);
  const ModelConfig llama3 = parse(with(R"("rope_theta":500000.0,"rope_scaling":{"rope_type":"llama3","factor":8.0,
    "low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192})"));
  CHECK(llama3.rope_scaling.kind == RopeScaling::Kind::kLlama3);
  CHECK_EQ(llama3.rope_theta, 500000.0f);
  CHECK_EQ(llama3.rope_scaling.original_max_position, 8192u);
  const ModelConfig new_style = parse(with(R"("rope_parameters":{"rope_type":"linear","factor":2,"rope_theta":1e6})"));
  CHECK(new_style.rope_scaling.kind == RopeScaling::Kind::kLinear);
  CHECK_EQ(new_style.rope_theta, 1e6f);
  CHECK(parse(with(R"("rope_parameters":{"rope_type":"default","rope_theta":5.0})")).rope_scaling.kind ==
        RopeScaling::Kind::kNone);
  CHECK(parse(with(R"("rope_scaling":null)")).rope_scaling.kind == RopeScaling::Kind::kNone);
}

TEST(sliding_windows) {
  CHECK_EQ(parse(architecture("MistralForCausalLM", R"("sliding_window":16)")).sliding_window, 16u);
  CHECK_EQ(parse(architecture("MistralForCausalLM", R"("sliding_window":null)")).sliding_window, 0u);
  CHECK_EQ(parse(architecture("MistralForCausalLM")).sliding_window, 4096u);
  CHECK_EQ(parse(with(R"("sliding_window":16)")).sliding_window, 0u);  // Llama has none
  const std::string qwen = architecture("Qwen2ForCausalLM", R"("sliding_window":16)");
  CHECK_EQ(parse(qwen).sliding_window, 0u);
  CHECK_EQ(parse(with(R"("use_sliding_window":true)", with(R"("max_window_layers":2)", qwen))).sliding_window, 0u);
  CHECK_EQ(parse(with(R"("use_sliding_window":true)", with(R"("max_window_layers":0)", qwen))).sliding_window, 16u);
  refused(PG_UNIMPLEMENTED, "max_window_layers", "only some layers",
          with(R"("use_sliding_window":true)", with(R"("max_window_layers":1)", qwen)));
  refused(PG_UNIMPLEMENTED, "layer_types", "only some layers",
          with(R"("use_sliding_window":true)", with(R"("layer_types":["sliding_attention","full_attention"])", qwen)));
}

TEST(eos_comes_from_generation_config_first) {
  CHECK(parse(with(R"("eos_token_id":[2,5])")).eos_token_ids == (std::vector<uint32_t>{2, 5}));
  CHECK(parse(kLlama, R"({"eos_token_id":[7,8,9]})").eos_token_ids == (std::vector<uint32_t>{7, 8, 9}));
  CHECK(parse(kLlama, R"({"eos_token_id":null})").eos_token_ids == std::vector<uint32_t>{2});
  CHECK(parse(with(R"("eos_token_id":null)")).eos_token_ids.empty());
  CHECK_EQ(parse(with(R"("bos_token_id":null)")).bos_token_id, -1);
  CHECK_THROWS(PG_FAILED_PRECONDITION, "eos_token_id", "from 0 to 99", parse(kLlama, R"({"eos_token_id":100})"));
  CHECK_THROWS(PG_DATA_LOSS, "generation_config.json", "JSON", parse(kLlama, "{"));
}

TEST(what_is_not_served_is_refused_by_key) {
  refused(PG_UNIMPLEMENTED, "architectures", "GPT2LMHeadModel", architecture("GPT2LMHeadModel"));
  refused(PG_UNIMPLEMENTED, "architectures", "LlamaForCausalLM", architecture("LlamaForSequenceClassification"));
  refused(PG_UNIMPLEMENTED, "model_type", "gemma", with(R"("model_type":"gemma")", with(R"("architectures":null)")));
  refused(PG_UNIMPLEMENTED, "quantization_config.quant_method", "served are gptq",
          with(R"("quantization_config":{"quant_method":"hqq"})"));
  refused(PG_UNIMPLEMENTED, "compression_config", "is not served", with(R"("compression_config":{})"));
  refused(PG_UNIMPLEMENTED, "hidden_act", "gelu", with(R"("hidden_act":"gelu")"));
  refused(PG_UNIMPLEMENTED, "rope_scaling.rope_type", "yarn",
          with(R"("rope_scaling":{"rope_type":"yarn","factor":4})"));
  refused(PG_UNIMPLEMENTED, "rope_scaling.type", "dynamic", with(R"("rope_scaling":{"type":"dynamic","factor":4})"));
  const auto longrope = [](const std::string& settings) {
    return with("\"head_dim\":4,\"rope_scaling\":{\"rope_type\":\"longrope\"," + settings + "}");
  };
  CHECK((parse(longrope(R"("short_factor":[1,2.5],"long_factor":[1,2.5],"attention_factor":1)")).rope_scaling.factors ==
         std::vector<float>{1, 2.5}));
  refused(PG_UNIMPLEMENTED, "rope_scaling.rope_type", "differ",
          longrope(R"("short_factor":[1,1],"long_factor":[1,2.5],"attention_factor":1)"));
  refused(PG_UNIMPLEMENTED, "rope_scaling.rope_type", "attention_factor",
          longrope(R"("short_factor":[1,2.5],"long_factor":[1,2.5])"));
  refused(PG_FAILED_PRECONDITION, "rope_scaling.long_factor", "each of 2 pairs", longrope(R"("long_factor":[1])"));
  refused(PG_FAILED_PRECONDITION, "rope_scaling.long_factor", "must hold numbers", longrope(R"("long_factor":[1,0])"));
  refused(PG_FAILED_PRECONDITION, "rope_scaling.long_factor", "list of numbers", longrope(R"("long_factor":3)"));
  refused(PG_UNIMPLEMENTED, "rope_parameters.full_attention", "single layers",
          with(R"("rope_parameters":{"full_attention":{"rope_theta":1}})"));
  refused(PG_UNIMPLEMENTED, "partial_rotary_factor", "other than 1", with(R"("partial_rotary_factor":0.5)"));
}

TEST(values_out_of_range_are_refused_by_key) {
  refused(PG_DATA_LOSS, "config.json", "JSON", "{");
  refused(PG_DATA_LOSS, "config.json", "not a JSON object", "[]");
  refused(PG_FAILED_PRECONDITION, "hidden_size", "is missing", with(R"("hidden_size":null)"));
  refused(PG_FAILED_PRECONDITION, "hidden_size", "whole number", with(R"("hidden_size":64.0)"));
  refused(PG_FAILED_PRECONDITION, "hidden_size", "whole number", with(R"("hidden_size":"64")"));
  refused(PG_FAILED_PRECONDITION, "hidden_size", "from 1 to", with(R"("hidden_size":-64)"));
  refused(PG_FAILED_PRECONDITION, "vocab_size", "from 1 to 1000000", with(R"("vocab_size":1000001)"));
  refused(PG_FAILED_PRECONDITION, "num_hidden_layers", "from 1 to 256", with(R"("num_hidden_layers":257)"));
  refused(PG_FAILED_PRECONDITION, "num_hidden_layers", "from 1 to 256", with(R"("num_hidden_layers":0)"));
  refused(PG_FAILED_PRECONDITION, "num_key_value_heads", "must divide", with(R"("num_key_value_heads":3)"));
  refused(PG_FAILED_PRECONDITION, "num_key_value_heads", "from 1 to 4", with(R"("num_key_value_heads":8)"));
  refused(PG_FAILED_PRECONDITION, "num_key_value_heads", "must divide",
          architecture("MistralForCausalLM")
              .replace(architecture("MistralForCausalLM").find("\"num_key_value_heads\":2,"), 24, ""));
  refused(PG_FAILED_PRECONDITION, "num_attention_heads", "must divide hidden_size", with(R"("num_attention_heads":6)"));
  refused(PG_FAILED_PRECONDITION, "head_dim", "even numbers", with(R"("head_dim":15)"));
  refused(PG_FAILED_PRECONDITION, "head_dim", "from 2 to 256", with(R"("head_dim":512)"));
  refused(PG_FAILED_PRECONDITION, "rms_norm_eps", "must be a number", with(R"("rms_norm_eps":-1)"));
  refused(PG_FAILED_PRECONDITION, "tie_word_embeddings", "true or false", with(R"("tie_word_embeddings":1)"));
  refused(PG_FAILED_PRECONDITION, "rope_scaling", "must be an object", with(R"("rope_scaling":3)"));
  refused(PG_FAILED_PRECONDITION, "rope_scaling.factor", "is missing", with(R"("rope_scaling":{"type":"linear"})"));
  refused(PG_FAILED_PRECONDITION, "rope_scaling.factor", "must be a number",
          with(R"("rope_scaling":{"type":"linear","factor":0})"));
  refused(PG_FAILED_PRECONDITION, "rope_scaling.high_freq_factor", "above low_freq_factor",
          with(R"("rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4})"));
}
