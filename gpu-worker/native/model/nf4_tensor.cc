#include <algorithm>
#include <cmath>

#include "model/error.h"
#include "model/half.h"
#include "model/json_object.h"
#include "model/packed_int4.h"
#include "model/quantize.h"
#include "model/quantized_source.h"

namespace polygraft {
namespace {

constexpr uint64_t kMaxStateBytes = 4096;

class Nf4Tensor final : public SourceTensor {
 public:
  Nf4Tensor(const Checkpoint& checkpoint, const std::string& name, uint32_t n, uint32_t k)
      : name_(name + ".weight"), n_(n), k_(k) {
    const std::string state_name = name_ + ".quant_state.bitsandbytes__nf4";
    const std::string text = read_state(checkpoint, state_name);
    const Json root = parse_json(text, state_name);
    const JsonObject state(root, state_name);
    if (state.string("quant_type").value_or("nf4") != "nf4")
      state.refuse(PG_UNIMPLEMENTED, "quant_type", "is not \"nf4\"");
    block_ = static_cast<uint32_t>(state.integer("blocksize", 2, 1u << 16));
    if (state.integers("shape", 1, 1u << 30) != std::vector<uint64_t>{n, k})
      state.refuse(PG_FAILED_PRECONDITION, "shape",
                   "is not [" + std::to_string(n) + ", " + std::to_string(k) + "], which config.json calls for");
    if (block_ % 2 != 0 || k % 2 != 0) state.refuse(PG_UNIMPLEMENTED, "blocksize", "or the row is odd");
    const uint64_t weights = uint64_t{n} * k, blocks = (weights + block_ - 1) / block_;
    codes_ = &expect_tensor(checkpoint, name_, DType::kU8, {weights / 2, 1});
    table_ = floats(checkpoint, name_ + ".quant_map", 16);
    if (checkpoint.find(name_ + ".nested_absmax") == nullptr)
      absmax_ = floats(checkpoint, name_ + ".absmax", blocks);
    else
      read_nested(checkpoint, state, blocks);
    for (const float v : absmax_)
      if (!std::isfinite(v)) throw Error(PG_DATA_LOSS, name_ + ".absmax", "tensor " + name_ + ".absmax holds NaN or infinity");
    standard_ = std::equal(table_.begin(), table_.end(), kNf4Table);
  }

  uint64_t bytes() const override { return uint64_t{n_} * k_ / 2; }

  void read_floats(uint64_t first, std::span<float> out) const override {
    const uint64_t begin = first / 2 * 2, end = (first + out.size() + 1) / 2 * 2;
    std::vector<uint8_t> bytes((end - begin) / 2), codes(end - begin);
    codes_->file->read_bytes(*codes_->info, begin / 2, bytes);
    nf4_codes(bytes.data(), static_cast<uint32_t>(codes.size()), codes.data());
    for (uint64_t i = 0; i < out.size(); ++i)
      out[i] = table_[codes[first - begin + i]] * absmax_[(first + i) / block_];
  }

  // Blocks run along the flattened matrix: they are groups where rows are whole blocks.
  std::optional<OwnGrid> grid() const override {
    const std::optional<uint32_t> group = served_group(block_);
    if (!standard_ || !group || k_ % block_ != 0) return std::nullopt;
    return OwnGrid{Scheme::kNf4, *group};
  }

  void read_grid(uint32_t first, uint32_t count, WeightMatrix& out) const override {
    std::vector<uint8_t> bytes(k_ / 2), codes(k_);
    for (uint32_t row = first; row < first + count; ++row) {
      codes_->file->read_bytes(*codes_->info, uint64_t{row} * k_ / 2, bytes);
      nf4_codes(bytes.data(), k_, codes.data());
      pack_nibbles(codes.data(), row, out);
      for (uint32_t g = 0; g < out.groups(); ++g)
        out.scales[size_t{row} * out.groups() + g] =
            finite_fp16(absmax_[(uint64_t{row} * k_ + g * out.group) / block_], name_ + ".absmax");
    }
  }

 private:
  static std::string read_state(const Checkpoint& checkpoint, const std::string& name) {
    const CheckpointTensor* tensor = checkpoint.find(name);
    if (tensor == nullptr)
      throw Error(PG_FAILED_PRECONDITION, name, "the checkpoint lacks tensor " + name + ", the state of an NF4 layer");
    const uint64_t bytes = tensor->info->end - tensor->info->begin;
    if (tensor->info->dtype != DType::kU8 || bytes > kMaxStateBytes)
      throw Error(PG_DATA_LOSS, name, "tensor " + name + " is no short text in U8");
    std::string text(bytes, '\0');
    tensor->file->read_bytes(*tensor->info, 0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
    return text;
  }

  static std::vector<float> floats(const Checkpoint& checkpoint, const std::string& name, uint64_t count) {
    std::vector<float> values;
    const CheckpointTensor& tensor = expect_tensor(checkpoint, name, DType::kF32, {count});
    values.resize(count);
    tensor.read_floats(0, values);
    return values;
  }

  // Double quantization: absmax in 8 bits, by a table of its own, blocks of which share a scale.
  void read_nested(const Checkpoint& checkpoint, const JsonObject& state, uint64_t blocks) {
    const uint64_t size = state.integer("nested_blocksize", 1, 1u << 16);
    const auto offset = static_cast<float>(state.number("nested_offset", -1e6, 1e6));
    const std::vector<float> scales = floats(checkpoint, name_ + ".nested_absmax", (blocks + size - 1) / size);
    const std::vector<float> table = floats(checkpoint, name_ + ".nested_quant_map", 256);
    const CheckpointTensor& packed = expect_tensor(checkpoint, name_ + ".absmax", DType::kU8, {blocks});
    std::vector<uint8_t> codes(blocks);
    packed.file->read_bytes(*packed.info, 0, codes);
    absmax_.resize(blocks);
    for (uint64_t i = 0; i < blocks; ++i) absmax_[i] = table[codes[i]] * scales[i / size] + offset;
  }

  const std::string name_;
  const uint32_t n_, k_;
  uint32_t block_ = 0;
  const CheckpointTensor* codes_ = nullptr;
  std::vector<float> table_, absmax_;
  bool standard_ = false;
};

}  // namespace

std::unique_ptr<SourceTensor> nf4_tensor(const Checkpoint& checkpoint, const std::string& name, uint32_t n, uint32_t k) {
  return std::make_unique<Nf4Tensor>(checkpoint, name, n, k);
}

}  // namespace polygraft
