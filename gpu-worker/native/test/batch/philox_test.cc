#include "batch/philox.h"

#include <cmath>

#include "test/check.h"

using polygraft::philox4x32;
using polygraft::uniform_draw;

// Known answers published with the reference implementation of the paper (kat_vectors, philox4x32 10).
TEST(known_answers) {
  CHECK((philox4x32({0, 0, 0, 0}, {0, 0}) == std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  CHECK((philox4x32({ones, ones, ones, ones}, {ones, ones}) ==
         std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  CHECK((philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
         std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(draws_are_uniform_and_differ_by_seed_and_position) {
  double sum = 0, squares = 0;
  const int n = 100000;
  for (int i = 0; i < n; ++i) {
    const double u = uniform_draw(42, static_cast<uint64_t>(i));
    CHECK(u >= 0 && u < 1);
    sum += u;
    squares += u * u;
  }
  CHECK_NEAR(sum / n, 0.5, 0.005);
  CHECK_NEAR(squares / n, 1.0 / 3, 0.005);
  CHECK(uniform_draw(1, 0) != uniform_draw(2, 0));
  CHECK(uniform_draw(1, 0) != uniform_draw(1ull << 32, 0));
  CHECK(uniform_draw(1, 0) != uniform_draw(1, 1ull << 32));
}
