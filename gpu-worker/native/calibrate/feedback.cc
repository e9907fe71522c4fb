#include "calibrate/feedback.h"

#include <algorithm>

#include "model/parallel_for.h"

namespace polygraft {
namespace {

constexpr uint32_t kBlock = 32;

// Entries [begin, end) of row i of U, given the update by the columns after them. `h` is the upper triangle of what is
// left of H; a finished column holds U above the diagonal and D on it. Rows of the panel itself go first, from below.
void factorize_row(std::vector<double>& h, size_t n, size_t i, size_t begin, size_t end) {
  double* const row = h.data() + i * n;
  for (size_t k = end; k-- > std::max(begin, i + 1);) {
    row[k] /= h[k * n + k];
    for (size_t j = std::max(begin, i); j < k; ++j) row[j] -= row[k] * (h[j * n + k] * h[k * n + k]);
  }
}

void factorize_panel(std::vector<double>& h, size_t n, uint32_t begin, uint32_t end) {
  for (size_t i = end; i-- > begin;) factorize_row(h, n, i, begin, end);
  parallel_for(begin, 64, [&](uint64_t first, uint64_t last) {
    for (uint64_t i = first; i < last; ++i) factorize_row(h, n, i, begin, end);
  });
}

// H[i][j] -= sum over the panel's columns p of U[i][p] D[p] U[j][p] for i <= j < begin.
void update_rest(std::vector<double>& h, size_t n, uint32_t begin, uint32_t end) {
  const uint32_t width = end - begin;
  std::vector<double> panel(size_t{width} * begin);  // transposed: [p][j]
  for (uint32_t j = 0; j < begin; ++j)
    for (uint32_t p = 0; p < width; ++p) panel[size_t{p} * begin + j] = h[j * n + begin + p];
  parallel_for(begin, 8, [&](uint64_t first, uint64_t last) {
    for (uint64_t i = first; i < last; ++i) {
      double* const row = h.data() + i * n;
      for (uint32_t p = 0; p < width; ++p) {
        const double factor = panel[size_t{p} * begin + i] * h[(begin + p) * n + begin + p];
        const double* const from = panel.data() + size_t{p} * begin;
        for (uint64_t j = i; j < begin; ++j) row[j] -= factor * from[j];
      }
    }
  });
}

}  // namespace

Feedback factorize(const Gram& gram, double damping) {
  const uint32_t n = gram.columns();
  double mean = 0;
  for (uint32_t i = 0; i < n; ++i) mean += gram.at(i, i) / n;
  // All inputs zero: any positive diagonal gives plain rounding.
  const double added = mean > 0 ? damping * mean : 1.0;
  std::vector<double> h(size_t{n} * n);
  for (uint32_t i = 0; i < n; ++i) {
    std::copy(gram.upper_row(i) + i, gram.upper_row(i) + n, h.begin() + static_cast<ptrdiff_t>(size_t{i} * n + i));
    h[size_t{i} * n + i] += added;
  }
  for (uint32_t end = n; end > 0;) {
    const uint32_t begin = end > kBlock ? end - kBlock : 0;
    factorize_panel(h, n, begin, end);
    update_rest(h, n, begin, end);
    end = begin;
  }
  Feedback feedback{n, std::vector<float>(size_t{n} * n), std::vector<float>(n)};
  for (uint32_t i = 0; i < n; ++i) {
    feedback.importance[i] = static_cast<float>(h[size_t{i} * n + i] / (mean > 0 ? mean : 1.0));
    for (uint32_t j = i + 1; j < n; ++j) feedback.u[size_t{i} * n + j] = static_cast<float>(h[size_t{i} * n + j]);
  }
  return feedback;
}

}  // namespace polygraft
