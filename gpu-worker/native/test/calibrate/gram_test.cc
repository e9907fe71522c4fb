#include "calibrate/gram.h"

#include <random>
#include <vector>

#include "test/check.h"

using namespace polygraft;

namespace {

std::vector<float> random_rows(uint32_t rows, uint32_t columns, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> x(size_t{rows} * columns);
  for (float& v : x) v = static_cast<float>(random()) / 2147483648.0f - 1.0f;
  return x;
}

}  // namespace

TEST(it_is_the_sum_of_outer_products) {
  for (const uint32_t columns : {1u, 7u, 8u, 13u, 64u, 100u}) {
    const uint32_t rows = 300;
    const auto x = random_rows(rows, columns, columns);
    Gram gram(columns);
    gram.add(x.data(), rows);
    for (uint32_t i = 0; i < columns; ++i)
      for (uint32_t j = 0; j < columns; ++j) {
        double sum = 0;
        for (uint32_t t = 0; t < rows; ++t) sum += double{x[t * columns + i]} * x[t * columns + j];
        CHECK_NEAR(gram.at(i, j), sum, 1e-4);
      }
  }
}

TEST(whole_chunks_may_come_one_by_one) {
  const uint32_t columns = 21;
  const auto x = random_rows(128 * 3 + 5, columns, 4);
  Gram once(columns), parts(columns);
  once.add(x.data(), 128 * 3 + 5);
  parts.add(x.data(), 128);
  parts.add(x.data() + size_t{128} * columns, 2 * 128 + 5);
  for (uint32_t i = 0; i < columns; ++i)
    for (uint32_t j = i; j < columns; ++j) CHECK_EQ(once.at(i, j), parts.at(i, j));
}
