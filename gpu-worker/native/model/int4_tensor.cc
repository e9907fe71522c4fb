#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>

#include "model/error.h"
#include "model/half.h"
#include "model/packed_int4.h"
#include "model/quantize.h"
#include "model/quantized_source.h"

namespace polygraft {
namespace {

// The arrays of one layer. They run along the outputs, so a few rows need all of qweight: it is read once, and given up
// when all rows have been taken.
class Int4Tensor final : public SourceTensor {
 public:
  Int4Tensor(const Checkpoint& checkpoint, const std::string& name, uint32_t n, uint32_t k,
             const FileQuantization& quantization)
      : name_(name), n_(n), k_(k), quantization_(quantization),
        groups_(quantization.group == 0 ? 1 : (k + quantization.group - 1) / quantization.group),
        awq_(quantization.method == FileQuantization::Method::kAwq) {
    const uint64_t packed = awq_ ? uint64_t{k} * (n / 8) : uint64_t{k / 8} * n;
    if (n % 8 != 0 || k % 8 != 0)
      throw Error(PG_UNIMPLEMENTED, name, "layer " + name + " is " + std::to_string(n) + " x " + std::to_string(k) +
                                              "; packed layers have multiples of 8");
    qweight_ = &expect_tensor(checkpoint, name + ".qweight", DType::kI32,
                              awq_ ? std::vector<uint64_t>{k, n / 8} : std::vector<uint64_t>{k / 8, n});
    words_ = packed;
    const CheckpointTensor& zeros = expect_tensor(checkpoint, name + ".qzeros", DType::kI32, {groups_, n / 8});
    qzeros_.resize(size_t{groups_} * (n / 8));
    zeros.file->read_bytes(*zeros.info, 0, bytes_of(qzeros_));
    const CheckpointTensor* scales = checkpoint.find(name + ".scales");
    expect_tensor(checkpoint, name + ".scales",
                  scales != nullptr && is_float_dtype(scales->info->dtype) ? scales->info->dtype : DType::kF16,
                  {groups_, n});
    scales_.resize(size_t{groups_} * n);
    scales->read_floats(0, scales_);
    for (const float scale : scales_)
      if (!std::isfinite(scale)) throw Error(PG_DATA_LOSS, name + ".scales", "tensor " + name + ".scales holds NaN or infinity");
    read_order(checkpoint);
  }

  uint64_t bytes() const override { return words_ * 4; }

  void read_floats(uint64_t first, std::span<float> out) const override {
    const uint64_t last = first + out.size();
    Row row(*this);
    const auto words = take((out.size() + k_ - 1) / k_);
    for (uint64_t r = first / k_; r * k_ < last; ++r) {
      row.load(*words, static_cast<uint32_t>(r));
      for (uint64_t at = std::max(first, r * k_); at < std::min(last, (r + 1) * k_); ++at) {
        const uint32_t i = static_cast<uint32_t>(at - r * k_), g = group_of(i);
        out[at - first] = scales_[size_t{g} * n_ + r] * static_cast<float>(row.codes[i] - row.zeros[g]);
      }
    }
  }

  std::optional<OwnGrid> grid() const override {
    const std::optional<uint32_t> group = served_group(quantization_.group);
    if (!group || (!group_of_.empty() && order_.empty())) return std::nullopt;
    return OwnGrid{Scheme::kW4, *group, !order_.empty()};
  }

  void read_grid(uint32_t first, uint32_t count, WeightMatrix& out) const override {
    if (first == 0) out.order = order_;
    Row row(*this);
    std::vector<uint8_t> sorted(order_.size());
    const auto words = take(count);
    for (uint32_t r = first; r < first + count; ++r) {
      row.load(*words, r);
      for (uint32_t c = 0; c < sorted.size(); ++c) sorted[c] = row.codes[order_[c]];
      pack_nibbles(order_.empty() ? row.codes.data() : sorted.data(), r, out);
      for (uint32_t g = 0; g < out.groups(); ++g) {
        const uint32_t from = in_row(g * out.group);
        const float scale = fp16_to_float(finite_fp16(scales_[size_t{from} * n_ + r], name_ + ".scales"));
        const size_t at = size_t{r} * out.groups() + g;
        out.scales[at] = float_to_fp16(scale);
        out.minimums[at] = finite_fp16(-scale * static_cast<float>(row.zeros[from]), name_ + ".scales");
      }
    }
  }

 private:
  struct Row {
    explicit Row(const Int4Tensor& of) : tensor(of), codes(of.k_), zeros(of.groups_) {}
    void load(const std::vector<uint32_t>& words, uint32_t row) {
      if (tensor.awq_) {
        awq_codes(words.data(), tensor.n_, tensor.k_, row, codes.data());
        awq_zeros(tensor.qzeros_.data(), tensor.n_, tensor.groups_, row, zeros.data());
      } else {
        gptq_codes(words.data(), tensor.n_, tensor.k_, row, codes.data());
        gptq_zeros(tensor.qzeros_.data(), tensor.n_, tensor.groups_, row, tensor.quantization_.zeros_minus_one,
                   zeros.data());
      }
    }
    const Int4Tensor& tensor;
    std::vector<uint8_t> codes, zeros;
  };

  template <class T>
  static std::span<uint8_t> bytes_of(std::vector<T>& values) {
    return {reinterpret_cast<uint8_t*>(values.data()), values.size() * sizeof(T)};
  }

  // The group of a column, where groups are neighbours.
  uint32_t in_row(uint32_t column) const { return quantization_.group == 0 ? 0 : column / quantization_.group; }
  uint32_t group_of(uint32_t input) const { return group_of_.empty() ? in_row(input) : static_cast<uint32_t>(group_of_[input]); }

  // Keeps g_idx only where it is not what group_size says: activation order. Sorted by group, the inputs then fill each
  // group as group_size says, or the layer has no grid.
  void read_order(const Checkpoint& checkpoint) {
    if (awq_ || checkpoint.find(name_ + ".g_idx") == nullptr) return;
    const CheckpointTensor& tensor = expect_tensor(checkpoint, name_ + ".g_idx", DType::kI32, {k_});
    std::vector<int32_t> groups(k_);
    tensor.file->read_bytes(*tensor.info, 0, bytes_of(groups));
    bool in_order = true;
    for (uint32_t i = 0; i < k_; ++i) {
      if (groups[i] < 0 || static_cast<uint32_t>(groups[i]) >= groups_)
        throw Error(PG_DATA_LOSS, name_ + ".g_idx",
                    "tensor " + name_ + ".g_idx names group " + std::to_string(groups[i]) + " of " + std::to_string(groups_));
      in_order = in_order && static_cast<uint32_t>(groups[i]) == in_row(i);
    }
    if (in_order) return;
    group_of_ = std::move(groups);
    order_.resize(k_);
    std::iota(order_.begin(), order_.end(), 0u);
    std::ranges::stable_sort(order_, {}, [this](uint32_t input) { return group_of_[input]; });
    for (uint32_t c = 0; c < k_; ++c)
      if (group_of(order_[c]) != in_row(c)) {
        order_.clear();
        return;
      }
  }

  std::shared_ptr<const std::vector<uint32_t>> take(uint64_t rows) const {
    const std::lock_guard lock(mutex_);
    if (words_held_ == nullptr) {
      auto words = std::make_shared<std::vector<uint32_t>>(words_);
      qweight_->file->read_bytes(*qweight_->info, 0, bytes_of(*words));
      words_held_ = std::move(words);
      taken_ = 0;
    }
    const auto words = words_held_;
    taken_ += rows;
    if (taken_ >= n_) words_held_ = nullptr;
    return words;
  }

  const std::string name_;
  const uint32_t n_, k_;
  const FileQuantization quantization_;
  const uint32_t groups_;
  const bool awq_;
  uint64_t words_ = 0;
  const CheckpointTensor* qweight_ = nullptr;
  std::vector<uint32_t> qzeros_;  // [groups][n / 8]
  std::vector<float> scales_;     // [groups][n]
  std::vector<int32_t> group_of_;  // by input, or empty: as they come
  std::vector<uint32_t> order_;    // inputs by group, or empty
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const std::vector<uint32_t>> words_held_;
  mutable uint64_t taken_ = 0;  // rows
};

}  // namespace

std::unique_ptr<SourceTensor> int4_tensor(const Checkpoint& checkpoint, const std::string& name, uint32_t n, uint32_t k,
                                          const FileQuantization& quantization) {
  return std::make_unique<Int4Tensor>(checkpoint, name, n, k, quantization);
}

}  // namespace polygraft
