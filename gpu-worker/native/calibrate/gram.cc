#include "calibrate/gram.h"

#include <algorithm>
#include <cstring>

#include "model/parallel_for.h"

namespace polygraft {
namespace {

constexpr uint32_t kRows = 128;  // of a chunk that is summed in f32
constexpr uint32_t kPanel = 8;   // columns that lie side by side: the sides of a tile of H

typedef float Four __attribute__((vector_size(16)));

// sums[i][j] = sum over t of a[t][i] * b[t][j]; a and b are panels, [rows][8]. Each entry is summed in the order of t,
// products and sums rounded one by one: vectors of any width give the same bits.
void multiply_panels(const float* a, const float* b, uint32_t rows, float sums[kPanel][kPanel]) {
  for (uint32_t half = 0; half < kPanel; half += 4) {
    Four acc[4][2] = {};
    for (uint32_t t = 0; t < rows; ++t) {
      Four low, high;
      std::memcpy(&low, b + t * kPanel, sizeof(low));
      std::memcpy(&high, b + t * kPanel + 4, sizeof(high));
      for (uint32_t i = 0; i < 4; ++i) {
        acc[i][0] += a[t * kPanel + half + i] * low;
        acc[i][1] += a[t * kPanel + half + i] * high;
      }
    }
    std::memcpy(sums[half], acc, sizeof(acc));
  }
}

#if PG_X86
typedef float Eight __attribute__((vector_size(32)));

[[gnu::target("avx2")]] void multiply_panels_avx2(const float* a, const float* b, uint32_t rows,
                                                  float sums[kPanel][kPanel]) {
  Eight acc[kPanel] = {};
  for (uint32_t t = 0; t < rows; ++t) {
    Eight all;
    __builtin_memcpy(&all, b + t * kPanel, sizeof(all));
    for (uint32_t i = 0; i < kPanel; ++i) acc[i] += a[t * kPanel + i] * all;
  }
  __builtin_memcpy(sums, acc, sizeof(acc));
}

const auto multiply = __builtin_cpu_supports("avx2") ? multiply_panels_avx2 : multiply_panels;
#else
const auto multiply = multiply_panels;
#endif

}  // namespace

void Gram::add(const float* x, uint32_t rows) {
  const uint32_t panels = (columns_ + kPanel - 1) / kPanel;
  std::vector<float> chunk(size_t{panels} * kRows * kPanel);  // [panel][row][8], zero beyond the last column
  for (uint32_t first = 0; first < rows; first += kRows) {
    const uint32_t count = std::min(kRows, rows - first);
    for (uint32_t p = 0; p < panels; ++p)
      for (uint32_t t = 0; t < count; ++t)
        std::memcpy(chunk.data() + (size_t{p} * kRows + t) * kPanel,
                    x + (size_t{first} + t) * columns_ + p * kPanel,
                    std::min(kPanel, columns_ - p * kPanel) * sizeof(float));
    parallel_for(panels, 1, [&](uint64_t p, uint64_t) {
      const auto i = static_cast<uint32_t>(p) * kPanel;
      for (uint32_t q = static_cast<uint32_t>(p); q < panels; ++q) {
        const uint32_t j = q * kPanel;
        float sums[kPanel][kPanel];
        multiply(chunk.data() + size_t{kRows} * i, chunk.data() + size_t{kRows} * j, count, sums);
        for (uint32_t r = 0; r < kPanel && i + r < columns_; ++r)
          for (uint32_t c = i == j ? r : 0; c < kPanel && j + c < columns_; ++c)
            sums_[size_t{i + r} * columns_ + j + c] += static_cast<double>(sums[r][c]);
      }
    });
  }
}

}  // namespace polygraft
