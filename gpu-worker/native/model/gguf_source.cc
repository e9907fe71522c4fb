#include <algorithm>
#include <cmath>
#include <set>

#include "model/error.h"
#include "model/gguf_model.h"
#include "model/half.h"
#include "model/quantize.h"
#include "model/weight_list.h"

namespace polygraft {
namespace {

constexpr uint64_t kPieceBytes = 1u << 20;  // read at a time

// llama.cpp's converter reorders the rows of q and k of its "llama" architecture, head by head, so that the pairs that
// RoPE turns are neighbours: row j * dim/2 + i of a head, j = 0 or 1, becomes row 2i + j.
uint64_t permuted_row(uint64_t row, uint32_t head_dim) {
  if (head_dim == 0) return row;
  const uint64_t half = head_dim / 2, in_head = row % head_dim;
  return row - in_head + 2 * (in_head % half) + in_head / half;
}

class GgufWeight final : public SourceTensor {
 public:
  // `head_dim`: of a permuted tensor; 0: rows are in order.
  GgufWeight(const InputFile& file, const GgufTensor& tensor, std::string name, uint32_t head_dim)
      : file_(file), tensor_(tensor), type_(ggml_type(tensor.type)), name_(std::move(name)), head_dim_(head_dim),
        // Of a permuted vector each element is a row.
        columns_(tensor.shape.size() == 1 && head_dim != 0 ? 1 : tensor.shape.back()),
        row_bytes_(columns_ / type_.block_weights * type_.block_bytes) {}

  uint64_t bytes() const override { return tensor_.bytes; }

  void read_floats(uint64_t first, std::span<float> out) const override {
    std::vector<float> row(columns_);
    each_row(first / columns_, (first + out.size() + columns_ - 1) / columns_, [&](uint64_t r, const uint8_t* blocks) {
      decode_ggml(tensor_.type, blocks, columns_ / type_.block_weights, row.data());
      const uint64_t begin = std::max(r * columns_, first), end = std::min((r + 1) * columns_, first + out.size());
      std::copy_n(row.data() + (begin - r * columns_), end - begin, out.data() + (begin - first));
    });
  }

  std::optional<OwnGrid> grid() const override {
    if (tensor_.shape.size() != 2) return std::nullopt;
    if (is_affine_ggml(tensor_.type)) return OwnGrid{Scheme::kW4, 32};
    if (is_symmetric_ggml(tensor_.type)) return OwnGrid{Scheme::kW8, 32};
    return std::nullopt;
  }

  bool is_float() const { return type_.block_weights == 1; }

  void read_grid(uint32_t first, uint32_t count, WeightMatrix& out) const override {
    std::vector<GgmlGroup> groups(columns_ / 32);
    std::vector<uint8_t> codes(columns_);
    each_row(first, uint64_t{first} + count, [&](uint64_t r, const uint8_t* blocks) {
      const auto row = static_cast<uint32_t>(r);
      if (is_symmetric_ggml(tensor_.type))
        copy_bytes(row, blocks, out);
      else
        copy_groups(row, blocks, groups, codes, out);
    });
  }

 private:
  // Gives the bytes of rows [first, last) of the Hugging Face tensor.
  template <class Each>
  void each_row(uint64_t first, uint64_t last, const Each& each) const {
    const uint64_t most = head_dim_ != 0 ? 1 : std::max<uint64_t>(1, kPieceBytes / row_bytes_);
    std::vector<uint8_t> bytes(std::min(most, last - first) * row_bytes_);
    for (uint64_t row = first; row < last;) {
      const uint64_t count = std::min(most, last - row);
      file_.read(tensor_.begin + permuted_row(row, head_dim_) * row_bytes_, {bytes.data(), count * row_bytes_});
      for (uint64_t i = 0; i < count; ++i) each(row + i, bytes.data() + i * row_bytes_);
      row += count;
    }
  }

  void copy_bytes(uint32_t row, const uint8_t* blocks, WeightMatrix& out) const {
    for (uint64_t b = 0; b < columns_ / 32; ++b, blocks += type_.block_bytes)
      out.scales[size_t{row} * out.groups() + b] =
          finite(split_symmetric_ggml(tensor_.type, blocks, out.codes.data() + size_t{row} * out.k + b * 32));
  }

  void copy_groups(uint32_t row, const uint8_t* blocks, std::vector<GgmlGroup>& groups, std::vector<uint8_t>& codes,
                   WeightMatrix& out) const {
    split_ggml(tensor_.type, blocks, columns_ / type_.block_weights, groups.data());
    for (size_t g = 0; g < groups.size(); ++g) {
      const size_t at = size_t{row} * out.groups() + g;
      out.scales[at] = finite(float_to_fp16(groups[g].scale));
      out.minimums[at] = finite(float_to_fp16(groups[g].minimum));
      std::copy_n(groups[g].codes, 32, codes.data() + g * 32);
    }
    pack_nibbles(codes.data(), row, out);
  }

  uint16_t finite(uint16_t half) const {
    if ((half & 0x7c00) == 0x7c00)
      throw Error(PG_DATA_LOSS, name_,
                  file_.name() + ": tensor " + name_ + " holds a scale or minimum that is NaN, infinite or too large");
    return half;
  }

  const InputFile& file_;
  const GgufTensor& tensor_;
  const GgmlTypeInfo& type_;
  const std::string name_;
  const uint32_t head_dim_;
  const uint64_t columns_, row_bytes_;
};

// "model.layers.3.self_attn.q_proj.weight" -> "blk.3.attn_q.weight".
std::string gguf_name(std::string name) {
  constexpr std::pair<std::string_view, std::string_view> kParts[] = {
      {"model.embed_tokens", "token_embd"}, {"model.norm", "output_norm"}, {"lm_head", "output"},
      {"model.layers.", "blk."}, {"input_layernorm", "attn_norm"}, {"post_attention_layernorm", "ffn_norm"},
      {"self_attn.q_proj", "attn_q"}, {"self_attn.k_proj", "attn_k"}, {"self_attn.v_proj", "attn_v"},
      {"self_attn.o_proj", "attn_output"}, {"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"},
      {"mlp.gate_proj", "ffn_gate"}, {"mlp.up_proj", "ffn_up"}, {"mlp.down_proj", "ffn_down"}};
  for (const auto& [from, to] : kParts)
    if (const size_t at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
  return name;
}

bool is_permuted(const std::string& name, const ModelConfig& config) {
  return config.architecture == "llama" &&
         (name.find("self_attn.q_proj.") != std::string::npos || name.find("self_attn.k_proj.") != std::string::npos);
}

class GgufSource final : public WeightSource {
 public:
  GgufSource(const GgufFile& file, const ModelConfig& config) : file_(file) {
    ModelWeights unallocated;
    std::set<std::string, std::less<>> wanted = {"rope_freqs.weight"};
    for (const NamedWeight& weight : named_weights(config, unallocated)) {
      const std::string name = *wanted.insert(gguf_name(weight.name)).first;
      const auto at = file.header().tensors().find(name);
      if (at == file.header().tensors().end())
        throw Error(PG_FAILED_PRECONDITION, name,
                    file.file().name() + " lacks tensor " + name + ", which its metadata calls for");
      if (at->second.shape != weight.shape)
        throw Error(PG_FAILED_PRECONDITION, name,
                    file.file().name() + ": tensor " + name + " has shape " + shape_text(at->second.shape) +
                        "; the metadata calls for " + shape_text(weight.shape));
      const uint32_t head_dim = is_permuted(weight.name, config) ? config.head_dim : 0;
      if (head_dim != 0 && at->second.shape.size() == 1 && ggml_type(at->second.type).block_weights != 1)
        throw Error(PG_UNIMPLEMENTED, name, file.file().name() + ": tensor " + name + " is a quantized bias");
      tensors_.emplace(weight.name, GgufWeight(file.file(), at->second, name, head_dim));
    }
    for (const auto& [name, tensor] : file.header().tensors())
      if (!wanted.contains(name))
        throw Error(PG_UNIMPLEMENTED, name,
                    file.file().name() + " has tensor " + name + ", which a model of its metadata does not use");
  }

  const SourceTensor& at(const std::string& name) const override { return tensors_.at(name); }
  std::vector<const InputFile*> files() const override { return {&file_.file()}; }

  // Mixtures hold some matrices in more bits.
  Precision precision() const override {
    uint64_t four = 0, floats = 0, all = 0;
    for (const auto& [name, tensor] : tensors_) {
      if (name.find("_proj.weight") == std::string::npos) continue;
      all += tensor.bytes();
      if (tensor.is_float()) floats += tensor.bytes();
      if (tensor.grid() && tensor.grid()->scheme == Scheme::kW4) four += tensor.bytes();
    }
    return floats == all ? Precision::kFull : 2 * four > all ? Precision::kFourBit : Precision::kQuantized;
  }

 private:
  const GgufFile& file_;
  std::map<std::string, GgufWeight, std::less<>> tensors_;
};

}  // namespace

std::unique_ptr<WeightSource> gguf_source(const GgufFile& file, const ModelConfig& config) {
  return std::make_unique<GgufSource>(file, config);
}

}  // namespace polygraft
