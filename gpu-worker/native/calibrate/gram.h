// The Gram matrix of a layer's inputs, H = X^T X: what a weight's error costs at the layer's output. For a row of
// errors e, the squared error of that output over all inputs is e H e^T.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polygraft {

class Gram {
 public:
  explicit Gram(uint32_t columns) : columns_(columns), sums_(size_t{columns} * columns) {}

  // Adds `rows` inputs, [rows][columns]. Products are summed in f32 over up to 128 rows in order, and those sums in
  // f64: each entry depends on the inputs and their order alone, not on threads. Only the upper triangle is filled.
  void add(const float* x, uint32_t rows);

  uint32_t columns() const { return columns_; }
  double at(uint32_t row, uint32_t column) const {
    return row <= column ? sums_[size_t{row} * columns_ + column] : sums_[size_t{column} * columns_ + row];
  }
  const double* upper_row(uint32_t row) const { return sums_.data() + size_t{row} * columns_; }

 private:
  uint32_t columns_;
  std::vector<double> sums_;
};

}  // namespace polygraft
