// The tensor types of GGUF files: blocks of weights that share scales. Layouts: ggml's ggml-common.h.
//
//   F32, F16, BF16   plain
//   Q8_0   32 weights   d fp16, 32 int8                                w = d q
//   Q4_0   32           d, 16 bytes                                    w = d (q - 8)
//   Q4_1   32           d, m fp16, 16 bytes                            w = d q + m
//   Q5_0   32           d, 4 bytes of fifth bits, 16 bytes             w = d (q - 16)
//   Q5_1   32           d, m, 4 bytes of fifth bits, 16 bytes          w = d q + m
//   Q4_K  256           d, dmin, 8 x (6-bit s, 6-bit m), 128 bytes     w = (d s) q - (dmin m), by 32 weights
//   Q5_K  256           d, dmin, 8 x (s, m), 32 bytes of fifth bits, 128 bytes
//   Q6_K  256           128 bytes, 64 bytes of upper bits, 16 int8 s, d      w = d s (q - 32), by 16 weights
//
// Where 32 weights share 16 bytes, byte i has weight i in its low and weight i + 16 in its high nibble.
#pragma once

#include <cstddef>
#include <cstdint>

namespace polygraft {

enum class GgmlType : uint32_t {
  kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_1 = 3, kQ5_0 = 6, kQ5_1 = 7, kQ8_0 = 8,
  kQ4K = 12, kQ5K = 13, kQ6K = 14, kBf16 = 30,
};

struct GgmlTypeInfo {
  GgmlType type;
  const char* name;
  uint32_t block_weights;
  uint32_t block_bytes;
};

// nullptr for a type that is not served.
const GgmlTypeInfo* find_ggml_type(uint32_t number);
const GgmlTypeInfo& ggml_type(GgmlType type);

// `blocks` whole blocks as floats.
void decode_ggml(GgmlType type, const uint8_t* from, size_t blocks, float* out);

// One group of 32 weights on an affine grid, w = fma(scale, code, minimum).
struct GgmlGroup {
  float scale = 0, minimum = 0;
  uint8_t codes[32] = {};
};
// Whether blocks of a type are such groups: Q4_0, Q4_1 and Q4_K.
bool is_affine_ggml(GgmlType type);
// `blocks` whole blocks of such a type as groups. Scale and minimum of Q4_0 and Q4_1 are exact in fp16 (Q4_0's minimum
// below 65504 / 8); those of Q4_K are products of an fp16 and a 6-bit number.
void split_ggml(GgmlType type, const uint8_t* from, size_t blocks, GgmlGroup* out);

// Whether blocks of a type are 32 weights w = d q with q in int8: Q8_0 and Q5_0.
bool is_symmetric_ggml(GgmlType type);
// One block of such a type: its codes as int8, and its scale's fp16 bits.
uint16_t split_symmetric_ggml(GgmlType type, const uint8_t* from, uint8_t* codes);

}  // namespace polygraft
