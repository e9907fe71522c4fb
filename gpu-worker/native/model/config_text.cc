#include "model/config_text.h"

#include <limits>
#include <locale>
#include <sstream>

#include "model/error.h"

namespace polygraft {
namespace {

// llama.cpp knows Mistral as a Llama with a window.
std::string family_of(const ModelConfig& config) {
  return config.architecture == "llama" && config.sliding_window > 0 ? "mistral" : config.architecture;
}

const char* class_of(const std::string& family) {
  if (family == "mistral") return "MistralForCausalLM";
  if (family == "qwen2") return "Qwen2ForCausalLM";
  return family == "qwen3" ? "Qwen3ForCausalLM" : "LlamaForCausalLM";
}

void check(const ModelConfig& config, const std::string& family) {
  const auto refuse = [](const char* key, const std::string& what) {
    throw Error(PG_UNIMPLEMENTED, key,
                std::string(key) + ": " + what + ": quantize the Hugging Face folder that the file was made from");
  };
  const bool attention = (family == "llama" || family == "qwen3") && config.qkv_bias;
  if ((config.qkv_bias && !attention && family != "qwen2") || config.o_bias != attention)
    refuse("blk.0.attn_output.bias", "a config.json gives biases to all matrices of attention or to none");
  if (config.mlp_bias && family != "llama")
    refuse("blk.0.ffn_gate.bias", "only a Llama's config.json has biases of the MLP");
}

// As LongRoPE, which names them one by one, the same for short and for long texts, and nothing else of it.
void write_divisors(const ModelConfig& config, std::ostream& out) {
  out << ",\n  \"rope_scaling\": {\"rope_type\": \"longrope\", \"attention_factor\": 1.0"
      << ", \"original_max_position_embeddings\": " << config.max_position;
  for (const char* key : {"short_factor", "long_factor"}) {
    out << ",\n    \"" << key << "\": [";
    for (size_t i = 0; i < config.rope_scaling.factors.size(); ++i) out << (i > 0 ? ", " : "") << config.rope_scaling.factors[i];
    out << "]";
  }
  out << "}";
}

void write_rope(const ModelConfig& config, std::ostream& out) {
  const RopeScaling& rope = config.rope_scaling;
  out << ",\n  \"rope_theta\": " << config.rope_theta;
  if (rope.kind == RopeScaling::Kind::kNone) return;
  if (rope.kind == RopeScaling::Kind::kFactors) {
    write_divisors(config, out);
    return;
  }
  out << ",\n  \"rope_scaling\": {\"factor\": " << rope.factor;
  if (rope.kind == RopeScaling::Kind::kLinear) {
    out << ", \"rope_type\": \"linear\"}";
    return;
  }
  out << ", \"rope_type\": \"llama3\", \"low_freq_factor\": " << rope.low_freq_factor
      << ", \"high_freq_factor\": " << rope.high_freq_factor
      << ", \"original_max_position_embeddings\": " << rope.original_max_position << "}";
}

void write_window(const ModelConfig& config, const std::string& family, std::ostream& out) {
  if (family == "llama") return;
  out << ",\n  \"sliding_window\": ";
  out << (config.sliding_window > 0 ? std::to_string(config.sliding_window) : "null");
  if (family != "mistral") {
    out << ",\n  \"use_sliding_window\": " << (config.sliding_window > 0);
    if (config.sliding_window > 0) out << ",\n  \"max_window_layers\": 0";
  }
}

}  // namespace

std::string config_text(const ModelConfig& config) {
  const std::string family = family_of(config);
  check(config, family);
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out << std::boolalpha;
  out.precision(std::numeric_limits<float>::max_digits10);
  out << "{\n  \"architectures\": [\"" << class_of(family) << "\"],\n  \"model_type\": \"" << family << "\""
      << ",\n  \"hidden_act\": \"silu\",\n  \"vocab_size\": " << config.vocab_size
      << ",\n  \"hidden_size\": " << config.hidden_size << ",\n  \"intermediate_size\": " << config.ffn_size
      << ",\n  \"num_hidden_layers\": " << config.layers << ",\n  \"num_attention_heads\": " << config.heads
      << ",\n  \"num_key_value_heads\": " << config.kv_heads << ",\n  \"head_dim\": " << config.head_dim
      << ",\n  \"max_position_embeddings\": " << config.max_position << ",\n  \"rms_norm_eps\": " << config.rms_eps
      << ",\n  \"tie_word_embeddings\": " << config.tied_head;
  if (family == "llama" || family == "qwen3") out << ",\n  \"attention_bias\": " << config.qkv_bias;
  if (family == "llama") out << ",\n  \"mlp_bias\": " << config.mlp_bias;
  write_rope(config, out);
  write_window(config, family, out);
  if (config.bos_token_id >= 0) out << ",\n  \"bos_token_id\": " << config.bos_token_id;
  out << ",\n  \"eos_token_id\": [";
  for (size_t i = 0; i < config.eos_token_ids.size(); ++i) out << (i > 0 ? ", " : "") << config.eos_token_ids[i];
  out << "]\n}\n";
  return out.str();
}

}  // namespace polygraft
