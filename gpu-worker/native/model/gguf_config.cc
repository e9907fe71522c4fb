// The metadata of llama.cpp's converter (gguf-py/gguf/constants.py) as a ModelConfig.
#include <algorithm>
#include <filesystem>
#include <set>

#include "model/error.h"
#include "model/gguf_model.h"
#include "model/json.h"

namespace polygraft {
namespace {

constexpr const char* kArchitectures[] = {"llama", "qwen2", "qwen3"};
constexpr size_t kMaxEos = 16;
// Tokens that end a turn or a text, by their spelling: llama.cpp ends generation at these as well as at the file's own,
// because chat models name only one of them.
constexpr std::string_view kEndings[] = {"<|im_end|>",      "<|endoftext|>", "<|eot_id|>", "<|eom_id|>",
                                         "<|end_of_text|>", "<|end|>",       "<end_of_turn>"};
constexpr int32_t kControlToken = 3;

std::string read_architecture(const GgufHeader& header) {
  const std::string name = header.text("general.architecture").value_or("");
  if (std::ranges::find(kArchitectures, name) == std::end(kArchitectures))
    header.refuse(PG_UNIMPLEMENTED, "general.architecture",
                  "is " + quote_json(name.substr(0, 64)) + "; this engine serves llama, qwen2 and qwen3");
  return name;
}

// The factors that the converter computes for Llama 3.1 and later, one for each pair of dimensions.
void read_rope_factors(const GgufFile& file, ModelConfig& config) {
  const auto& tensors = file.header().tensors();
  for (const char* name : {"rope_factors_long.weight", "rope_factors_short.weight"})
    if (tensors.contains(name))
      throw Error(PG_UNIMPLEMENTED, name, file.header().source() + ": tensor " + name + ": LongRoPE is not served");
  const auto at = tensors.find("rope_freqs.weight");
  if (at == tensors.end()) return;
  const GgufTensor& tensor = at->second;
  const std::vector<uint64_t> shape = {config.head_dim / 2};
  if (tensor.type != GgmlType::kF32 || tensor.shape != shape)
    throw Error(PG_FAILED_PRECONDITION, at->first,
                file.header().source() + ": tensor rope_freqs.weight is not F32 [" + std::to_string(shape[0]) + "]");
  config.rope_scaling.kind = RopeScaling::Kind::kFactors;
  config.rope_scaling.factors.resize(shape[0]);
  file.file().read(tensor.begin, {reinterpret_cast<uint8_t*>(config.rope_scaling.factors.data()), shape[0] * 4});
  for (const float factor : config.rope_scaling.factors)
    if (!(factor >= 1e-3f && factor <= 1e6f))
      throw Error(PG_DATA_LOSS, at->first, file.header().source() + ": rope_freqs.weight holds a factor out of range");
}

void read_rope(const GgufFile& file, const std::string& prefix, ModelConfig& config) {
  const GgufHeader& header = file.header();
  config.rope_theta = static_cast<float>(header.number(prefix + "rope.freq_base", 1, 1e12, 10000.0));
  if (header.integer(prefix + "rope.dimension_count", 1, 65536, config.head_dim) != config.head_dim)
    header.refuse(PG_UNIMPLEMENTED, prefix + "rope.dimension_count", "rotates part of a head, which is not served");
  const std::string type = header.text(prefix + "rope.scaling.type").value_or("none");
  if (type == "linear") {
    config.rope_scaling.kind = RopeScaling::Kind::kLinear;
    config.rope_scaling.factor = static_cast<float>(header.number(prefix + "rope.scaling.factor", 1e-3, 1e6));
  } else if (type != "none") {
    header.refuse(PG_UNIMPLEMENTED, prefix + "rope.scaling.type",
                  "is " + quote_json(type.substr(0, 32)) + "; this engine serves none and linear");
  } else if (header.find(prefix + "rope.scale_linear") != nullptr) {  // files of 2023
    config.rope_scaling.factor = static_cast<float>(header.number(prefix + "rope.scale_linear", 1e-3, 1e6));
    if (config.rope_scaling.factor != 1.0f) config.rope_scaling.kind = RopeScaling::Kind::kLinear;
  }
  read_rope_factors(file, config);
}

// What the file names as an end, and control tokens spelled like one.
std::vector<uint32_t> read_eos(const GgufFile& file, uint32_t vocab_size) {
  const GgufHeader& header = file.header();
  std::vector<uint32_t> ids;
  const auto add = [&](uint64_t id) {
    if (ids.size() < kMaxEos && std::ranges::find(ids, id) == ids.end()) ids.push_back(static_cast<uint32_t>(id));
  };
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
    if (header.find(key) != nullptr) add(header.integer(key, 0, vocab_size - 1));
  if (header.find("tokenizer.ggml.tokens") == nullptr || header.find("tokenizer.ggml.token_type") == nullptr) return ids;
  const std::vector<int32_t> types = read_gguf_integers(header, "tokenizer.ggml.token_type", file.read());
  read_gguf_strings(header, "tokenizer.ggml.tokens", file.file().size(), file.read(),
                    [&](uint64_t id, const std::string& token) {
                      if (id < types.size() && id < vocab_size && types[id] == kControlToken &&
                          std::ranges::find(kEndings, token) != std::end(kEndings))
                        add(id);
                    });
  return ids;
}

}  // namespace

bool is_gguf_path(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

ModelConfig gguf_model_config(const GgufFile& file) {
  const GgufHeader& header = file.header();
  const auto& tensors = header.tensors();
  ModelConfig config;
  config.architecture = read_architecture(header);
  const std::string prefix = config.architecture + ".";
  const auto u32 = [&](const char* key, uint64_t low, uint64_t high, std::optional<uint64_t> fallback = {}) {
    return static_cast<uint32_t>(header.integer(prefix + key, low, high, fallback));
  };
  if (header.integer("split.count", 0, 65535, 0) > 1)
    header.refuse(PG_UNIMPLEMENTED, "split.count",
                  "says that the model is split over several files; join them: llama-gguf-split --merge FIRST OUT");
  if (u32("expert_count", 0, 1u << 20, 0) > 0)
    header.refuse(PG_UNIMPLEMENTED, prefix + "expert_count", "marks a mixture of experts, which is not served");

  config.hidden_size = u32("embedding_length", 1, 65'536);
  config.ffn_size = u32("feed_forward_length", 1, 262'144);
  config.layers = u32("block_count", 1, 256);
  config.heads = u32("attention.head_count", 1, 1024);
  config.kv_heads = u32("attention.head_count_kv", 1, config.heads, config.heads);
  if (config.heads % config.kv_heads != 0)
    header.refuse(PG_FAILED_PRECONDITION, prefix + "attention.head_count_kv", "must divide attention.head_count");
  const std::string key_length = prefix + "attention.key_length";
  if (header.find(key_length) == nullptr && config.hidden_size % config.heads != 0)
    header.refuse(PG_FAILED_PRECONDITION, prefix + "attention.head_count", "must divide embedding_length");
  config.head_dim = u32("attention.key_length", 2, 256, std::clamp(config.hidden_size / config.heads, 2u, 256u));
  if (config.head_dim % 2 != 0) header.refuse(PG_UNIMPLEMENTED, key_length, "is odd, which is not served");
  if (u32("attention.value_length", 1, 65536, config.head_dim) != config.head_dim)
    header.refuse(PG_UNIMPLEMENTED, prefix + "attention.value_length", "differs from key_length, which is not served");

  const auto embedding = tensors.find("token_embd.weight");
  if (embedding == tensors.end() || embedding->second.shape.size() != 2 || embedding->second.shape[0] > 1'000'000)
    throw Error(PG_FAILED_PRECONDITION, "token_embd.weight",
                header.source() + ": tensor token_embd.weight is missing or no matrix of at most 1000000 rows");
  config.vocab_size = static_cast<uint32_t>(embedding->second.shape[0]);
  config.max_position = u32("context_length", 1, 1u << 24);
  config.rms_eps = static_cast<float>(header.number(prefix + "attention.layer_norm_rms_epsilon", 0, 1));
  read_rope(file, prefix, config);
  config.sliding_window = u32("attention.sliding_window", 0, 1u << 30, 0);

  config.tied_head = !tensors.contains("output.weight");
  config.qkv_bias = tensors.contains("blk.0.attn_q.bias");
  config.o_bias = tensors.contains("blk.0.attn_output.bias");
  config.mlp_bias = tensors.contains("blk.0.ffn_gate.bias");
  config.qk_norm = config.architecture == "qwen3";
  config.eos_token_ids = read_eos(file, config.vocab_size);
  const std::string bos = "tokenizer.ggml.bos_token_id";
  config.bos_token_id =
      header.find(bos) == nullptr ? -1 : static_cast<int32_t>(header.integer(bos, 0, config.vocab_size - 1));
  return config;
}

}  // namespace polygraft
