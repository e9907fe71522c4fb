#include "model/packed_int4.h"

#include <cstddef>

namespace polygraft {
namespace {

// The bits of output `row` within its int32.
uint32_t awq_shift(uint32_t row) {
  uint32_t b = 0;
  while (kAwqOrder[b] != row % 8) ++b;
  return 4 * b;
}

}  // namespace

void gptq_codes(const uint32_t* qweight, uint32_t n, uint32_t k, uint32_t row, uint8_t* codes) {
  for (uint32_t i = 0; i < k; ++i) codes[i] = qweight[size_t{i / 8} * n + row] >> i % 8 * 4 & 15;
}

void awq_codes(const uint32_t* qweight, uint32_t n, uint32_t k, uint32_t row, uint8_t* codes) {
  const uint32_t shift = awq_shift(row);
  for (uint32_t i = 0; i < k; ++i) codes[i] = qweight[size_t{i} * (n / 8) + row / 8] >> shift & 15;
}

void gptq_zeros(const uint32_t* qzeros, uint32_t n, uint32_t groups, uint32_t row, bool minus_one, uint8_t* zeros) {
  for (uint32_t g = 0; g < groups; ++g)
    zeros[g] = static_cast<uint8_t>((qzeros[size_t{g} * (n / 8) + row / 8] >> row % 8 * 4 & 15) + (minus_one ? 1 : 0));
}

void awq_zeros(const uint32_t* qzeros, uint32_t n, uint32_t groups, uint32_t row, uint8_t* zeros) {
  const uint32_t shift = awq_shift(row);
  for (uint32_t g = 0; g < groups; ++g) zeros[g] = qzeros[size_t{g} * (n / 8) + row / 8] >> shift & 15;
}

void nf4_codes(const uint8_t* bytes, uint32_t count, uint8_t* codes) {
  for (uint32_t i = 0; i < count; ++i) codes[i] = i % 2 == 0 ? bytes[i / 2] >> 4 : bytes[i / 2] & 15;
}

}  // namespace polygraft
