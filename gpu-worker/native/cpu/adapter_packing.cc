#include "cpu/adapter_packing.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu/packing.h"
#include "model/half.h"

namespace polygraft {
namespace {

constexpr uint32_t kSlabK = 32, kSlabBytes = kSlabK * kLanes;
constexpr float kLargestCode = 127;

uint32_t divide_up(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
size_t element_bytes(AdapterForm form) { return form == AdapterForm::kF32 ? 4 : 2; }

// Row-major [rows][columns] to [rows/16][columns][16].
template <class Element>
void transpose_tiles(const uint8_t* source, uint32_t rows, uint32_t columns, uint8_t* out) {
  auto* tiles = reinterpret_cast<Element*>(out);
  for (uint32_t row = 0; row < rows; ++row) {
    Element* lane = tiles + static_cast<size_t>(row / kLanes) * columns * kLanes + row % kLanes;
    const uint8_t* from = source + static_cast<size_t>(row) * columns * sizeof(Element);
    for (uint32_t c = 0; c < columns; ++c)
      std::memcpy(lane + static_cast<size_t>(c) * kLanes, from + c * sizeof(Element), sizeof(Element));
  }
}
void transpose(AdapterForm form, const uint8_t* source, uint32_t rows, uint32_t columns, uint8_t* out) {
  if (form == AdapterForm::kF32)
    transpose_tiles<uint32_t>(source, rows, columns, out);
  else
    transpose_tiles<uint16_t>(source, rows, columns, out);
}

// Row `row` of a matrix as floats.
void read_row(AdapterType type, const uint8_t* source, uint32_t row, std::vector<float>& values) {
  const size_t first = row * values.size();
  if (type == AdapterType::kF32) {
    std::memcpy(values.data(), source + 4 * first, 4 * values.size());
    return;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t half;
    std::memcpy(&half, source + 2 * (first + i), 2);
    values[i] = type == AdapterType::kF16 ? fp16_to_float(half) : bf16_to_float(half);
  }
}

// The scale of values whose largest magnitude is `amax`, and codes by it: 0 where 127 / amax would overflow.
struct Scale {
  explicit Scale(float amax) : value(amax / kLargestCode), inverse_(amax > kSmallestAmax ? kLargestCode / amax : 0) {}
  uint8_t code(float x) const { return static_cast<uint8_t>(static_cast<int8_t>(std::nearbyint(x * inverse_))); }
  float value;

 private:
  float inverse_;
};
float largest(const float* values, size_t count) {
  float amax = 0;
  for (size_t i = 0; i < count; ++i) amax = std::max(amax, std::abs(values[i]));
  return amax;
}

}  // namespace

AdapterForm adapter_form(AdapterType type, bool int8) {
  if (int8) return AdapterForm::kInt8;
  return type == AdapterType::kF32 ? AdapterForm::kF32 : type == AdapterType::kF16 ? AdapterForm::kF16 : AdapterForm::kBf16;
}

AdapterMatrix a_matrix(AdapterForm form, uint32_t rank, uint32_t k) {
  if (form == AdapterForm::kInt8)
    return {tiles_of(rank), size_t{divide_up(k, kSlabK)} * kSlabBytes, size_t{divide_up(k, kAdapterGroup)} * kLanes};
  return {tiles_of(rank), k * kLanes * element_bytes(form), 0};
}

AdapterMatrix b_matrix(AdapterForm form, uint32_t rank, uint32_t n) {
  if (form == AdapterForm::kInt8) return {tiles_of(n), size_t{divide_up(rank, 2)} * 2 * kLanes, 1};
  return {tiles_of(n), rank * kLanes * element_bytes(form), 0};
}

void pack_a(AdapterForm form, AdapterType type, const uint8_t* source, uint32_t rank, uint32_t k, uint8_t* out) {
  if (form != AdapterForm::kInt8) return transpose(form, source, rank, k, out);
  const AdapterMatrix matrix = a_matrix(form, rank, k);
  auto* scales = reinterpret_cast<float*>(out + matrix.scales_at());
  std::vector<float> values(k);
  for (uint32_t row = 0; row < rank; ++row) {
    read_row(type, source, row, values);
    const uint32_t tile = row / kLanes, lane = row % kLanes;
    uint8_t* codes = out + tile * matrix.tile_bytes + lane * 4;
    for (uint32_t first = 0; first < k; first += kAdapterGroup) {
      const uint32_t last = std::min(k, first + kAdapterGroup);
      const Scale scale(largest(&values[first], last - first));
      scales[tile * matrix.tile_scales + first / kAdapterGroup * kLanes + lane] = scale.value;
      for (uint32_t i = first; i < last; ++i) codes[static_cast<size_t>(i / 4) * 64 + i % 4] = scale.code(values[i]);
    }
  }
}

void pack_b(AdapterForm form, AdapterType type, const uint8_t* source, uint32_t rank, uint32_t n, uint8_t* out) {
  if (form != AdapterForm::kInt8) return transpose(form, source, n, rank, out);
  const AdapterMatrix matrix = b_matrix(form, rank, n);
  auto* scales = reinterpret_cast<float*>(out + matrix.scales_at());
  std::vector<float> row(rank), values(size_t{kLanes} * rank);
  for (uint32_t tile = 0; tile < matrix.tiles; ++tile) {
    const uint32_t lanes = std::min(kLanes, n - tile * kLanes);
    for (uint32_t lane = 0; lane < lanes; ++lane) {
      read_row(type, source, tile * kLanes + lane, row);
      std::copy(row.begin(), row.end(), values.begin() + static_cast<ptrdiff_t>(lane * rank));
    }
    const Scale scale(largest(values.data(), size_t{lanes} * rank));
    scales[tile] = scale.value;
    uint8_t* codes = out + tile * matrix.tile_bytes;
    for (uint32_t lane = 0; lane < lanes; ++lane)
      for (uint32_t r = 0; r < rank; ++r)
        codes[r / 2 * 2 * kLanes + lane * 2 + r % 2] = scale.code(values[size_t{lane} * rank + r]);
  }
}

}  // namespace polygraft
