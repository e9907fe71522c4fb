// GGUF files for tests, right or broken, written field by field.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/gguf.h"

namespace polygraft::files {

template <class T>
std::string le(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}
inline std::string gguf_text(std::string_view text) { return le<uint64_t>(text.size()) + std::string(text); }

// Values of metadata, type first.
inline std::string gguf_u32(uint32_t value) { return le<uint32_t>(4) + le(value); }
inline std::string gguf_f32(float value) { return le<uint32_t>(6) + le(value); }
inline std::string gguf_string(std::string_view text) { return le<uint32_t>(8) + gguf_text(text); }
inline std::string gguf_strings(const std::vector<std::string>& texts) {
  std::string out = le<uint32_t>(9) + le<uint32_t>(8) + le<uint64_t>(texts.size());
  for (const std::string& text : texts) out += gguf_text(text);
  return out;
}
inline std::string gguf_i32s(const std::vector<int32_t>& numbers) {
  std::string out = le<uint32_t>(9) + le<uint32_t>(5) + le<uint64_t>(numbers.size());
  for (const int32_t number : numbers) out += le(number);
  return out;
}

struct GgufTensorBytes {
  std::string name;
  std::vector<uint64_t> shape;  // slowest dimension first
  uint32_t type = 0;
  std::string bytes;
};

// A file as llama.cpp lays it out: tensors in order, each padded to 32 bytes.
inline std::string gguf_file(const std::vector<std::pair<std::string, std::string>>& metadata,
                             const std::vector<GgufTensorBytes>& tensors) {
  std::string head = "GGUF" + le<uint32_t>(3) + le<uint64_t>(tensors.size()) + le<uint64_t>(metadata.size()), data;
  for (const auto& [key, value] : metadata) head += gguf_text(key) + value;
  for (const GgufTensorBytes& tensor : tensors) {
    head += gguf_text(tensor.name) + le<uint32_t>(static_cast<uint32_t>(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;) head += le(tensor.shape[i]);
    head += le(tensor.type) + le<uint64_t>(data.size());
    data += tensor.bytes;
    data.resize((data.size() + 31) / 32 * 32);
  }
  head.resize((head.size() + 31) / 32 * 32);
  return head + data;
}

// The header of a file that lies in memory.
inline GgufHeader parse_gguf(const std::string& bytes) {
  return GgufHeader(
      bytes.size(),
      [&](uint64_t offset, std::span<uint8_t> out) { std::memcpy(out.data(), bytes.data() + offset, out.size()); },
      "m.gguf");
}

}  // namespace polygraft::files
