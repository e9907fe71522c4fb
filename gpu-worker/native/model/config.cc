#include "model/config.h"

#include <algorithm>
#include <limits>

#include "model/error.h"
#include "model/gguf_model.h"
#include "model/input_file.h"
#include "model/json_object.h"

namespace polygraft {
namespace {

// What the families differ in, besides the values in their config files. Defaults are those of the Hugging Face config
// classes, for keys that old files leave out.
struct Family {
  const char* name;           // ModelConfig::architecture, and model_type
  const char* class_name;     // in "architectures"
  uint32_t default_kv_heads;  // 0: as many as heads
  uint32_t default_head_dim;  // 0: hidden / heads
  uint32_t default_max_position;
  uint32_t default_sliding_window;
};
constexpr Family kFamilies[] = {
    {"llama", "LlamaForCausalLM", 0, 0, 2048, 0},
    {"mistral", "MistralForCausalLM", 8, 0, 131072, 4096},
    {"qwen2", "Qwen2ForCausalLM", 32, 0, 32768, 4096},
    {"qwen3", "Qwen3ForCausalLM", 32, 128, 32768, 4096},
};

const Family& read_family(const JsonObject& json) {
  const std::vector<std::string> classes = json.strings("architectures");
  const std::string model_type = json.string("model_type").value_or("");
  for (const Family& family : kFamilies) {
    if (classes.empty() ? model_type == family.name : classes.size() == 1 && classes[0] == family.class_name)
      return family;
  }
  std::string known;
  for (const Family& family : kFamilies) known += (known.empty() ? "" : ", ") + std::string(family.class_name);
  const std::string found = classes.empty() ? model_type : classes[0];
  json.refuse(PG_UNIMPLEMENTED, classes.empty() ? "model_type" : "architectures",
              "is " + quote_json(found.substr(0, 64)) + "; this engine serves " + known);
}

// LongRoPE with the same divisors for short and for long texts, which is a divisor for each pair of dimensions and no more.
std::vector<float> read_divisors(const JsonObject& json, const char* key, uint32_t head_dim) {
  const std::vector<double> given = json.numbers("long_factor", 1e-3, 1e6);
  if (given.size() != head_dim / 2)
    json.refuse(PG_FAILED_PRECONDITION, "long_factor", "must have a number for each of " + std::to_string(head_dim / 2) + " pairs of dimensions");
  if (json.numbers("short_factor", 1e-3, 1e6) != given)
    json.refuse(PG_UNIMPLEMENTED, key, "is LongRoPE whose short_factor and long_factor differ, which is not served");
  if (json.number("attention_factor", 0, 1e6, 0.0) != 1.0)
    json.refuse(PG_UNIMPLEMENTED, key, "is LongRoPE with an attention_factor other than 1, which is not served");
  return {given.begin(), given.end()};
}

RopeScaling read_rope_scaling(const JsonObject& json, const ModelConfig& config) {
  RopeScaling scaling;
  const char* key = json.has("rope_type") ? "rope_type" : "type";
  const std::string type = json.string(key).value_or("default");
  if (json.number("partial_rotary_factor", 0, 1, 1.0) != 1.0)
    json.refuse(PG_UNIMPLEMENTED, "partial_rotary_factor", "other than 1 is not served");
  if (type == "default") return scaling;
  if (type == "linear") {
    scaling.kind = RopeScaling::Kind::kLinear;
  } else if (type == "llama3") {
    scaling.kind = RopeScaling::Kind::kLlama3;
    scaling.low_freq_factor = static_cast<float>(json.number("low_freq_factor", 1e-6, 1e6));
    scaling.high_freq_factor = static_cast<float>(json.number("high_freq_factor", 1e-6, 1e6));
    if (scaling.high_freq_factor <= scaling.low_freq_factor)
      json.refuse(PG_FAILED_PRECONDITION, "high_freq_factor", "must be above low_freq_factor");
    scaling.original_max_position =
        static_cast<uint32_t>(json.integer("original_max_position_embeddings", 1, 1u << 24, config.max_position));
  } else if (type == "longrope") {
    scaling.kind = RopeScaling::Kind::kFactors;
    scaling.factors = read_divisors(json, key, config.head_dim);
    return scaling;
  } else {
    json.refuse(PG_UNIMPLEMENTED, key,
                "is " + quote_json(type.substr(0, 32)) + "; this engine serves \"default\", \"linear\", \"llama3\" and \"longrope\"");
  }
  scaling.factor = static_cast<float>(json.number("factor", 1e-3, 1e6));
  return scaling;
}

// Theta and scaling: transformers 5 keeps both in rope_parameters, older files in rope_theta and rope_scaling.
void read_rope(const JsonObject& json, ModelConfig& config) {
  if (json.number("partial_rotary_factor", 0, 1, 1.0) != 1.0)
    json.refuse(PG_UNIMPLEMENTED, "partial_rotary_factor", "other than 1 is not served");
  double theta = json.number("rope_theta", 1, 1e12, 10000.0);
  if (const auto parameters = json.object("rope_parameters")) {
    for (const auto& [key, value] : parameters->json().members())
      if (value.is_object())
        parameters->refuse(PG_UNIMPLEMENTED, key.c_str(), "sets RoPE for single layers, which is not served");
    theta = parameters->number("rope_theta", 1, 1e12, theta);
    config.rope_scaling = read_rope_scaling(*parameters, config);
  } else if (const auto scaling = json.object("rope_scaling")) {
    config.rope_scaling = read_rope_scaling(*scaling, config);
  }
  config.rope_theta = static_cast<float>(theta);
}

// Qwen gates the window by use_sliding_window and by layer; Mistral's holds for all layers. One window for the whole
// model is served, or none.
uint32_t read_sliding_window(const JsonObject& json, const Family& family, uint32_t layers) {
  const bool qwen = std::string(family.name).starts_with("qwen");
  const bool mistral = std::string(family.name) == "mistral";
  const Json* set = json.json().find("sliding_window");
  uint32_t window = 0;
  if (set == nullptr)
    window = family.default_sliding_window;
  else if (!set->is_null())
    window = static_cast<uint32_t>(json.integer("sliding_window", 0, std::numeric_limits<int32_t>::max()));
  if (!mistral && !qwen) window = 0;  // Llama has none
  if (qwen && !json.boolean("use_sliding_window", false)) window = 0;
  if (window == 0) return 0;

  std::vector<std::string> types = json.strings("layer_types");
  if (types.empty() && qwen) {
    const uint64_t first = json.integer("max_window_layers", 0, 1u << 20, 28);
    for (uint32_t i = 0; i < layers; ++i) types.push_back(i >= first ? "sliding_attention" : "full_attention");
  }
  const auto sliding = std::count(types.begin(), types.end(), "sliding_attention");
  if (types.empty() || sliding == static_cast<int64_t>(types.size())) return window;
  if (sliding == 0) return 0;
  json.refuse(PG_UNIMPLEMENTED, json.has("layer_types") ? "layer_types" : "max_window_layers",
              "gives only some layers a sliding window, which is not served");
}

std::vector<uint32_t> read_eos(const JsonObject& json, uint32_t vocab_size) {
  std::vector<uint32_t> ids;
  for (const uint64_t id : json.integers("eos_token_id", 0, vocab_size - 1)) ids.push_back(static_cast<uint32_t>(id));
  if (ids.size() > 16) json.refuse(PG_FAILED_PRECONDITION, "eos_token_id", "names more than 16 tokens");
  return ids;
}

}  // namespace

Shape2 projection_shape(const ModelConfig& config, Projection projection) {
  switch (projection) {
    case Projection::kQ:
      return {config.q_dim(), config.hidden_size};
    case Projection::kK:
      return {config.kv_dim(), config.hidden_size};
    case Projection::kV:
      return {config.kv_dim(), config.hidden_size};
    case Projection::kO:
      return {config.hidden_size, config.q_dim()};
    case Projection::kGate:
      return {config.ffn_size, config.hidden_size};
    case Projection::kUp:
      return {config.ffn_size, config.hidden_size};
    case Projection::kDown:
      return {config.hidden_size, config.ffn_size};
  }
  return {};
}

ModelConfig parse_model_config(const std::string& text, const std::string& generation_text) {
  const Json root = parse_json(text, "config.json");
  const JsonObject json(root, "config.json");
  const Family& family = read_family(json);
  for (const char* key : {"hidden_act", "hidden_activation"})
    if (const auto act = json.string(key); act && *act != "silu" && *act != "swish")
      json.refuse(PG_UNIMPLEMENTED, key, "is " + quote_json(act->substr(0, 32)) + "; this engine serves \"silu\"");

  ModelConfig config;
  const auto u32 = [&](const char* key, uint64_t low, uint64_t high, std::optional<uint64_t> fallback = {}) {
    return static_cast<uint32_t>(json.integer(key, low, high, fallback));
  };
  config.architecture = family.name;
  config.quantization = read_file_quantization(json);
  config.vocab_size = u32("vocab_size", 1, 1'000'000);
  config.hidden_size = u32("hidden_size", 1, 65'536);
  config.ffn_size = u32("intermediate_size", 1, 262'144);
  config.layers = u32("num_hidden_layers", 1, 256);
  config.heads = u32("num_attention_heads", 1, 1024);
  // null means "as many as heads" in every family; a missing key means the family's default.
  const bool kv_heads_null = root.find("num_key_value_heads") != nullptr || family.default_kv_heads == 0;
  config.kv_heads = u32("num_key_value_heads", 1, config.heads, kv_heads_null ? config.heads : family.default_kv_heads);
  if (config.kv_heads > config.heads || config.heads % config.kv_heads != 0)
    json.refuse(PG_FAILED_PRECONDITION, "num_key_value_heads", "must divide num_attention_heads");

  if (!json.has("head_dim") && (root.find("head_dim") != nullptr || family.default_head_dim == 0)) {
    if (config.hidden_size % config.heads != 0)
      json.refuse(PG_FAILED_PRECONDITION, "num_attention_heads", "must divide hidden_size when head_dim is not set");
    config.head_dim = config.hidden_size / config.heads;
  } else {
    config.head_dim = u32("head_dim", 2, 256, family.default_head_dim);
  }
  if (config.head_dim % 2 != 0 || config.head_dim < 2 || config.head_dim > 256)
    json.refuse(PG_FAILED_PRECONDITION, "head_dim",
                "is " + std::to_string(config.head_dim) + "; even numbers from 2 to 256 are served");

  config.max_position = u32("max_position_embeddings", 1, 1u << 24, family.default_max_position);
  config.rms_eps = static_cast<float>(json.number("rms_norm_eps", 0, 1, 1e-6));
  read_rope(json, config);
  config.sliding_window = read_sliding_window(json, family, config.layers);
  config.tied_head = json.boolean("tie_word_embeddings", false);

  const std::string& name = config.architecture;
  const bool attention_bias = (name == "llama" || name == "qwen3") && json.boolean("attention_bias", false);
  config.qkv_bias = attention_bias || name == "qwen2";
  config.o_bias = attention_bias;
  config.mlp_bias = name == "llama" && json.boolean("mlp_bias", false);
  config.qk_norm = name == "qwen3";

  config.eos_token_ids = read_eos(json, config.vocab_size);
  config.bos_token_id =
      json.has("bos_token_id") ? static_cast<int32_t>(json.integer("bos_token_id", 0, config.vocab_size - 1)) : -1;
  if (!generation_text.empty()) {
    const Json generation_root = parse_json(generation_text, "generation_config.json");
    const JsonObject generation(generation_root, "generation_config.json");
    if (generation.has("eos_token_id")) config.eos_token_ids = read_eos(generation, config.vocab_size);
  }
  return config;
}

ModelConfig read_model_config(const std::string& path) {
  if (is_gguf_path(path)) return gguf_model_config(GgufFile(path));
  const std::string generation = path + "/generation_config.json";
  return parse_model_config(read_text_file(path + "/config.json", kMaxConfigBytes),
                            file_exists(generation) ? read_text_file(generation, kMaxConfigBytes) : "");
}

}  // namespace polygraft
