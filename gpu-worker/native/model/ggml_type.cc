#include "model/ggml_type.h"

#include <cstring>

#include "model/half.h"

namespace polygraft {
namespace {

constexpr GgmlTypeInfo kTypes[] = {
    {GgmlType::kF32, "F32", 1, 4},      {GgmlType::kF16, "F16", 1, 2},      {GgmlType::kBf16, "BF16", 1, 2},
    {GgmlType::kQ4_0, "Q4_0", 32, 18},  {GgmlType::kQ4_1, "Q4_1", 32, 20},  {GgmlType::kQ5_0, "Q5_0", 32, 22},
    {GgmlType::kQ5_1, "Q5_1", 32, 24},  {GgmlType::kQ8_0, "Q8_0", 32, 34},  {GgmlType::kQ4K, "Q4_K", 256, 144},
    {GgmlType::kQ5K, "Q5_K", 256, 176}, {GgmlType::kQ6K, "Q6_K", 256, 210},
};

uint16_t half_at(const uint8_t* from) { return static_cast<uint16_t>(from[0] | from[1] << 8); }
float fp16_at(const uint8_t* from) { return fp16_to_float(half_at(from)); }

// 32 codes of 4 bits, halves of the block in the nibbles.
void nibbles(const uint8_t* from, uint8_t* codes) {
  for (int i = 0; i < 16; ++i) {
    codes[i] = from[i] & 15;
    codes[i + 16] = from[i] >> 4;
  }
}

// Codes of 5 bits: bit i of `upper` belongs to weight i.
void fifth_bits(const uint8_t* upper, uint8_t* codes) {
  for (int i = 0; i < 32; ++i) codes[i] = static_cast<uint8_t>(codes[i] | (upper[i / 8] >> i % 8 & 1) << 4);
}

// Scale and minimum `i` of a K block: 6 bits each in 12 bytes. Those of the last four groups have their upper two bits
// in the first eight bytes.
void k_scales(const uint8_t* packed, int i, float* scale, float* minimum) {
  if (i < 4) {
    *scale = static_cast<float>(packed[i] & 63);
    *minimum = static_cast<float>(packed[i + 4] & 63);
  } else {
    *scale = static_cast<float>((packed[i + 4] & 15) | (packed[i - 4] >> 6) << 4);
    *minimum = static_cast<float>(packed[i + 4] >> 4 | (packed[i] >> 6) << 4);
  }
}

// Groups 2c and 2c + 1 of a K block are the low and high nibbles of 32 bytes.
void k_codes(const uint8_t* from, int group, uint8_t* codes) {
  for (int i = 0; i < 32; ++i)
    codes[i] = group % 2 == 0 ? from[group / 2 * 32 + i] & 15 : from[group / 2 * 32 + i] >> 4;
}

void k_group(const uint8_t* block, const uint8_t* quants, int i, GgmlGroup& out) {
  float scale, minimum;
  k_scales(block + 4, i, &scale, &minimum);
  out.scale = fp16_at(block) * scale;
  out.minimum = -(fp16_at(block + 2) * minimum);
  k_codes(quants, i, out.codes);
}

// The groups of one block whose weights are w = scale * code + minimum. Returns how many.
int affine_groups(GgmlType type, const uint8_t* block, GgmlGroup* out) {
  switch (type) {
    case GgmlType::kQ4_0:
    case GgmlType::kQ5_0: {
      const bool five = type == GgmlType::kQ5_0;
      out->scale = fp16_at(block);
      out->minimum = (five ? -16.0f : -8.0f) * out->scale;
      nibbles(block + (five ? 6 : 2), out->codes);
      if (five) fifth_bits(block + 2, out->codes);
      return 1;
    }
    case GgmlType::kQ4_1:
    case GgmlType::kQ5_1: {
      const bool five = type == GgmlType::kQ5_1;
      out->scale = fp16_at(block);
      out->minimum = fp16_at(block + 2);
      nibbles(block + (five ? 8 : 4), out->codes);
      if (five) fifth_bits(block + 4, out->codes);
      return 1;
    }
    case GgmlType::kQ4K:
      for (int i = 0; i < 8; ++i) k_group(block, block + 16, i, out[i]);
      return 8;
    case GgmlType::kQ5K:
      for (int i = 0; i < 8; ++i) {
        k_group(block, block + 48, i, out[i]);
        for (int j = 0; j < 32; ++j)
          out[i].codes[j] = static_cast<uint8_t>(out[i].codes[j] | (block[16 + j] >> i & 1) << 4);
      }
      return 8;
    default:
      return 0;
  }
}

void decode_q6k(const uint8_t* block, float* out) {
  const auto* scales = reinterpret_cast<const int8_t*>(block + 192);
  const float d = fp16_at(block + 208);
  for (int i = 0; i < 256; ++i) {
    // Halves of 128; a half is four rows of 32, two in the low nibbles of 64 bytes and two in the high ones.
    const int half = i / 128, row = i % 128 / 32, at = i % 32;
    const uint8_t lower = block[half * 64 + row % 2 * 32 + at] >> row / 2 * 4 & 15;
    const uint8_t upper = block[128 + half * 32 + at] >> row * 2 & 3;
    out[i] = d * static_cast<float>(scales[i / 16]) * static_cast<float>((lower | upper << 4) - 32);
  }
}

}  // namespace

const GgmlTypeInfo* find_ggml_type(uint32_t number) {
  for (const GgmlTypeInfo& info : kTypes)
    if (static_cast<uint32_t>(info.type) == number) return &info;
  return nullptr;
}

const GgmlTypeInfo& ggml_type(GgmlType type) { return *find_ggml_type(static_cast<uint32_t>(type)); }

void decode_ggml(GgmlType type, const uint8_t* from, size_t blocks, float* out) {
  const GgmlTypeInfo& info = ggml_type(type);
  if (type == GgmlType::kF32) {  // little-endian, as is every machine that this engine runs on
    std::memcpy(out, from, blocks * sizeof(float));
    return;
  }
  for (size_t b = 0; b < blocks; ++b, from += info.block_bytes, out += info.block_weights) {
    GgmlGroup groups[8];
    if (type == GgmlType::kF16) {
      *out = fp16_at(from);
    } else if (type == GgmlType::kBf16) {
      *out = bf16_to_float(half_at(from));
    } else if (type == GgmlType::kQ8_0) {
      const float d = fp16_at(from);
      for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(static_cast<int8_t>(from[2 + i]));
    } else if (type == GgmlType::kQ6K) {
      decode_q6k(from, out);
    } else {
      const int count = affine_groups(type, from, groups);
      for (int i = 0; i < count * 32; ++i) {
        const GgmlGroup& group = groups[i / 32];
        out[i] = group.scale * static_cast<float>(group.codes[i % 32]) + group.minimum;
      }
    }
  }
}

bool is_affine_ggml(GgmlType type) {
  return type == GgmlType::kQ4_0 || type == GgmlType::kQ4_1 || type == GgmlType::kQ4K;
}

bool is_symmetric_ggml(GgmlType type) { return type == GgmlType::kQ8_0 || type == GgmlType::kQ5_0; }

uint16_t split_symmetric_ggml(GgmlType type, const uint8_t* from, uint8_t* codes) {
  if (type == GgmlType::kQ8_0) {
    std::memcpy(codes, from + 2, 32);
  } else {
    nibbles(from + 6, codes);
    fifth_bits(from + 2, codes);
    for (int i = 0; i < 32; ++i) codes[i] = static_cast<uint8_t>(codes[i] - 16);
  }
  return half_at(from);
}

void split_ggml(GgmlType type, const uint8_t* from, size_t blocks, GgmlGroup* out) {
  for (size_t b = 0; b < blocks; ++b) out += affine_groups(type, from + b * ggml_type(type).block_bytes, out);
}

}  // namespace polygraft
