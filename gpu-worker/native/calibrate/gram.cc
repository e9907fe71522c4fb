#include "calibrate/gram.h"

#include <algorithm>
#include <cstring>

#include "model/parallel_for.h"

namespace polygraft {
namespace {

constexpr uint32_t kRows = 128;   // of a chunk that is summed in f32
constexpr uint32_t kTile = 4;     // rows of H at a time
constexpr uint32_t kColumns = 8;  // columns of H at a time
typedef float Vector __attribute__((vector_size(16)));

// sums[i][j] = sum over t of a[t][i] * b[t][j] for four i and eight j: sixteen registers, one pass over the rows.
void product_tile(const float* a, const float* b, uint32_t rows, size_t stride, float sums[kTile][kColumns]) {
  Vector acc[kTile][2] = {};
  for (uint32_t t = 0; t < rows; ++t) {
    Vector low, high;
    std::memcpy(&low, b + t * stride, sizeof(low));
    std::memcpy(&high, b + t * stride + 4, sizeof(high));
    for (uint32_t i = 0; i < kTile; ++i) {
      acc[i][0] += a[t * stride + i] * low;
      acc[i][1] += a[t * stride + i] * high;
    }
  }
  std::memcpy(sums, acc, sizeof(acc));
}

}  // namespace

void Gram::add(const float* x, uint32_t rows) {
  // Padded so that tiles never reach beyond a row.
  const uint32_t padded = (columns_ + kColumns - 1) / kColumns * kColumns;
  std::vector<float> chunk(size_t{kRows} * padded);
  for (uint32_t first = 0; first < rows; first += kRows) {
    const uint32_t count = std::min(kRows, rows - first);
    for (uint32_t t = 0; t < count; ++t)
      std::memcpy(chunk.data() + size_t{t} * padded, x + (size_t{first} + t) * columns_, columns_ * sizeof(float));
    parallel_for(padded / kTile, 1, [&](uint64_t tile, uint64_t) {
      const auto i = static_cast<uint32_t>(tile) * kTile;
      float sums[kTile][kColumns];
      for (uint32_t j = i / kColumns * kColumns; j < padded; j += kColumns) {
        product_tile(chunk.data() + i, chunk.data() + j, count, padded, sums);
        for (uint32_t r = 0; r < kTile && i + r < columns_; ++r)
          for (uint32_t c = 0; c < kColumns && j + c < columns_; ++c)
            if (j + c >= i + r) sums_[size_t{i + r} * columns_ + j + c] += static_cast<double>(sums[r][c]);
      }
    });
  }
}

}  // namespace polygraft
