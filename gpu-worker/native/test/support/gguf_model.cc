#include "test/support/gguf_model.h"

#include <algorithm>
#include <cmath>

#include "model/config.h"
#include "model/half.h"
#include "model/weight_list.h"
#include "model/weight_source.h"
#include "test/support/gguf_bytes.h"

namespace polygraft::files {
namespace {

const std::pair<std::string, std::string> kNames[] = {
    {"model.embed_tokens", "token_embd"}, {"model.norm", "output_norm"}, {"lm_head", "output"}, {"model.layers.", "blk."},
    {"input_layernorm", "attn_norm"}, {"post_attention_layernorm", "ffn_norm"}, {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"}, {"self_attn.v_proj", "attn_v"}, {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"}, {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"}, {"mlp.down_proj", "ffn_down"}};

// The converter's own words: w.reshape(heads, 2, dim / 2, columns).swapaxes(1, 2).
std::vector<float> permuted(const std::vector<float>& w, size_t heads, size_t dim, size_t columns) {
  std::vector<float> out;
  for (size_t h = 0; h < heads; ++h)
    for (size_t i = 0; i < dim / 2; ++i)
      for (size_t j = 0; j < 2; ++j)
        for (size_t c = 0; c < columns; ++c) out.push_back(w[((h * 2 + j) * (dim / 2) + i) * columns + c]);
  return out;
}

// 32 weights; w = d (q - zero) or w = d q + m, by the type.
std::string block_of(const float* x, GgufMatrices type) {
  const bool five = type == GgufMatrices::kQ5_0 || type == GgufMatrices::kQ5_1;
  const bool symmetric = type == GgufMatrices::kQ4_0 || type == GgufMatrices::kQ5_0;
  const bool eight = type == GgufMatrices::kQ8_0;
  float low = x[0], high = x[0], extreme = 0;
  for (int i = 0; i < 32; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
    if (std::abs(x[i]) > std::abs(extreme)) extreme = x[i];
  }
  const float most = eight ? 127 : five ? 31 : 15, middle = five ? 16 : 8;
  const uint16_t d = float_to_fp16(eight ? std::abs(extreme) / 127 : symmetric ? extreme / -middle : (high - low) / most);
  const float scale = fp16_to_float(d);
  const float zero = eight ? 0 : symmetric ? -middle * scale : fp16_to_float(float_to_fp16(low));
  std::string block = le(d) + (symmetric || eight ? "" : le(float_to_fp16(low)));
  const auto code = [&](int i) {
    return scale == 0 ? 0 : static_cast<int>(std::clamp(std::round((x[i] - zero) / scale), eight ? -most : 0.0f, most));
  };
  if (eight) {
    for (int i = 0; i < 32; ++i) block += static_cast<char>(code(i));
    return block;
  }
  if (five) {
    uint32_t upper = 0;
    for (int i = 0; i < 32; ++i) upper |= static_cast<uint32_t>(code(i) >> 4) << i;
    block += le(upper);
  }
  for (int i = 0; i < 16; ++i) block += static_cast<char>((code(i) & 15) | (code(i + 16) & 15) << 4);
  return block;
}

uint32_t number_of(GgufMatrices type) {
  switch (type) {
    case GgufMatrices::kQ4_0: return 2;
    case GgufMatrices::kQ4_1: return 3;
    case GgufMatrices::kQ5_0: return 6;
    case GgufMatrices::kQ5_1: return 7;
    case GgufMatrices::kQ8_0: return 8;
    default: return 0;
  }
}

std::string encode(const std::vector<float>& values, GgufMatrices matrices) {
  if (matrices == GgufMatrices::kF32)
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
  std::string bytes;
  for (size_t i = 0; i < values.size(); i += 32) bytes += block_of(values.data() + i, matrices);
  return bytes;
}

}  // namespace

GgufMatrices mixed_type(const std::string& name) {
  const std::pair<const char*, GgufMatrices> types[] = {
      {"attn_q.", GgufMatrices::kQ4_1}, {"attn_k.", GgufMatrices::kQ5_0},      {"attn_v.", GgufMatrices::kQ8_0},
      {"ffn_up.", GgufMatrices::kQ5_1}, {"attn_output.", GgufMatrices::kF32}, {"", GgufMatrices::kQ4_0}};
  return std::ranges::find_if(types, [&](const auto& it) { return name.find(it.first) != std::string::npos; })->second;
}

std::string gguf_of_folder(const std::string& dir, GgufMatrices matrices) {
  const ModelFiles files = open_model_files(dir);
  const ModelConfig& c = files.config;
  const bool llama = c.architecture == "llama" || c.architecture == "mistral";
  const std::string arch = llama ? "llama" : c.architecture, p = arch + ".";
  std::vector<std::pair<std::string, std::string>> metadata = {
      {"general.architecture", gguf_string(arch)},
      {p + "embedding_length", gguf_u32(c.hidden_size)},
      {p + "feed_forward_length", gguf_u32(c.ffn_size)},
      {p + "block_count", gguf_u32(c.layers)},
      {p + "attention.head_count", gguf_u32(c.heads)},
      {p + "attention.head_count_kv", gguf_u32(c.kv_heads)},
      {p + "attention.key_length", gguf_u32(c.head_dim)},
      {p + "attention.value_length", gguf_u32(c.head_dim)},
      {p + "attention.sliding_window", gguf_u32(c.sliding_window)},
      {p + "attention.layer_norm_rms_epsilon", gguf_f32(c.rms_eps)},
      {p + "rope.freq_base", gguf_f32(c.rope_theta)},
      {p + "rope.dimension_count", gguf_u32(c.head_dim)},
      {p + "context_length", gguf_u32(c.max_position)},
      {"tokenizer.ggml.tokens", gguf_strings({"a", "<|im_end|>", "<|end|>"})},
      {"tokenizer.ggml.token_type", gguf_i32s({1, 3, 1})},
      {"tokenizer.ggml.eos_token_id", gguf_u32(7)}};
  std::vector<GgufTensorBytes> tensors;
  if (c.rope_scaling.kind == RopeScaling::Kind::kLinear) {
    metadata.emplace_back(p + "rope.scaling.type", gguf_string("linear"));
    metadata.emplace_back(p + "rope.scaling.factor", gguf_f32(c.rope_scaling.factor));
  }
  if (c.rope_scaling.kind == RopeScaling::Kind::kLlama3) {  // as LlamaModel.generate_extra_tensors does
    std::vector<float> factors;
    const RopeScaling& s = c.rope_scaling;
    for (uint32_t i = 0; i < c.head_dim / 2; ++i) {
      const double wavelength = 2 * M_PI * std::pow(double{c.rope_theta}, 2.0 * i / c.head_dim);
      const double smooth = (s.original_max_position / wavelength - s.low_freq_factor) /
                            (double{s.high_freq_factor} - s.low_freq_factor);
      const double kept = std::clamp(smooth, 0.0, 1.0);
      factors.push_back(static_cast<float>(1 / ((1 - kept) / s.factor + kept)));
    }
    tensors.push_back({"rope_freqs.weight", {factors.size()}, 0, encode(factors, GgufMatrices::kF32)});
  }
  ModelWeights unallocated;
  for (const NamedWeight& weight : named_weights(c, unallocated)) {
    const bool matrix = weight.shape.size() == 2;
    const size_t columns = matrix ? weight.shape[1] : 1;
    std::vector<float> values(weight.shape[0] * columns);
    files.weights->at(weight.name).read_floats(0, values);
    std::string name = weight.name;
    for (const auto& [from, to] : kNames)
      if (const size_t at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
    if (llama && (name.find("attn_q.") != std::string::npos || name.find("attn_k.") != std::string::npos))
      values = permuted(values, values.size() / columns / c.head_dim, c.head_dim, columns);
    const bool quantized = name.starts_with("blk.") && matrix;
    const GgufMatrices stored = !quantized                            ? GgufMatrices::kF32
                                : matrices == GgufMatrices::kMixture ? mixed_type(name)
                                                                     : matrices;
    tensors.push_back({name, weight.shape, number_of(stored), encode(values, stored)});
  }
  return gguf_file(metadata, tensors);
}

}  // namespace polygraft::files
