// 4-bit weights as GPTQ and AWQ pack them into int32, and as bitsandbytes does. Pure functions on the arrays of one layer
// with n outputs and k inputs; w[o][i] = s (q - z).
//
//   GPTQ  qweight [k/8][n], weight i in bits 4 (i mod 8); qzeros [groups][n/8] likewise along n, less one in the first
//         format; scales [groups][n]; g_idx [k] names each input's group. (AutoGPTQ, QuantLinear.pack)
//   AWQ   qweight [k][n/8], qzeros [groups][n/8], output 8 j + kAwqOrder[b] in bits 4 b; scales [groups][n].
//         (AutoAWQ, WQLinear_GEMM.from_linear)
//   NF4   two weights a byte along the flattened matrix, the first in the high nibble; blocks share an absmax.
//         (bitsandbytes, quantize_4bit)
#pragma once

#include <cstdint>

namespace polygraft {

inline constexpr uint32_t kAwqOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};

// Codes of output `row`, k of them.
void gptq_codes(const uint32_t* qweight, uint32_t n, uint32_t k, uint32_t row, uint8_t* codes);
void awq_codes(const uint32_t* qweight, uint32_t n, uint32_t k, uint32_t row, uint8_t* codes);
// Zero points of output `row`, one a group: 0 to 15, or 1 to 16 where `minus_one` says that they are stored less one.
void gptq_zeros(const uint32_t* qzeros, uint32_t n, uint32_t groups, uint32_t row, bool minus_one, uint8_t* zeros);
void awq_zeros(const uint32_t* qzeros, uint32_t n, uint32_t groups, uint32_t row, uint8_t* zeros);
// `count` codes, an even number, from count / 2 bytes.
void nf4_codes(const uint8_t* bytes, uint32_t count, uint8_t* codes);

}  // namespace polygraft
