// What a Llama-family model looks like: config.json, read and checked.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "model/file_quantization.h"

namespace polygraft {

// RoPE frequency scaling. "llama3" follows Llama 3.1, "linear" position interpolation; GGUF files give a divisor for each
// pair of dimensions.
struct RopeScaling {
  enum class Kind { kNone, kLinear, kLlama3, kFactors } kind = Kind::kNone;
  float factor = 1.0f;
  float low_freq_factor = 1.0f;
  float high_freq_factor = 4.0f;
  uint32_t original_max_position = 8192;
  std::vector<float> factors;  // kFactors: [head_dim / 2]
};

struct ModelConfig {
  std::string architecture;  // "llama", "mistral", "qwen2", "qwen3"
  uint32_t vocab_size = 0;
  uint32_t hidden_size = 0;
  uint32_t ffn_size = 0;
  uint32_t layers = 0;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t max_position = 0;
  uint32_t sliding_window = 0;  // tokens a query can see, itself included; 0: all
  float rms_eps = 1e-5f;
  float rope_theta = 10000.0f;
  RopeScaling rope_scaling;
  bool tied_head = false;
  bool qkv_bias = false;  // Qwen2
  bool o_bias = false;    // Llama with attention_bias
  bool mlp_bias = false;
  FileQuantization quantization;  // how a Hugging Face checkpoint holds its layers
  bool qk_norm = false;   // Qwen3: RMSNorm over head_dim on q and k before RoPE
  std::vector<uint32_t> eos_token_ids;
  int32_t bos_token_id = -1;

  uint32_t q_dim() const { return heads * head_dim; }
  uint32_t kv_dim() const { return kv_heads * head_dim; }
};

// The seven linear layers of a block, in the order of the adapter target mask.
enum class Projection : uint8_t { kQ, kK, kV, kO, kGate, kUp, kDown };
inline constexpr std::array<const char*, 7> kProjectionNames = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                                "gate_proj", "up_proj", "down_proj"};

// Rows (outputs) and columns (inputs) of a projection's weight.
struct Shape2 {
  uint32_t n = 0;  // outputs
  uint32_t k = 0;  // inputs
};
Shape2 projection_shape(const ModelConfig& config, Projection projection);

inline constexpr uint64_t kMaxConfigBytes = 4u << 20;  // of a config file

// Reads DIR/config.json and, if there, DIR/generation_config.json; or the metadata of a GGUF file. Throws Error naming
// the key at fault.
ModelConfig read_model_config(const std::string& path);

// The same from the files' text; `generation_text` may be empty.
ModelConfig parse_model_config(const std::string& text, const std::string& generation_text);

}  // namespace polygraft
