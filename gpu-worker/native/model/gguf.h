// GGUF, the file format of llama.cpp: metadata, a table of tensors, then their bytes. Versions 2 and 3, little-endian.
// Layout: ggml's docs/gguf.md.
//
// Files may come from strangers. Everything is checked before anything is allocated for a tensor: counts against the
// bytes that are left, shapes and offsets against overflow, the file's end and each other.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "abi/engine.h"
#include "model/ggml_type.h"

namespace polygraft {

// Types of metadata, by the format's numbers.
enum class GgufKind : uint32_t {
  kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64
};

struct GgufValue {
  GgufKind kind = GgufKind::kU8;
  uint64_t bits = 0;  // of a scalar: integers sign-extended, floats as those of a double
  std::string text;   // of a string
  GgufKind element = GgufKind::kU8;  // of an array
  uint64_t count = 0;                // of an array
  uint64_t offset = 0;               // of an array's first element in the file

  bool is_integer() const;
  double number() const;  // of a scalar
};

struct GgufTensor {
  GgmlType type = GgmlType::kF32;
  std::vector<uint64_t> shape;  // slowest dimension first, as in safetensors: the file has it the other way round
  uint64_t begin = 0;           // in the file
  uint64_t bytes = 0;
};

// Reads out.size() bytes of a file from an offset.
using ReadAt = std::function<void(uint64_t, std::span<uint8_t>)>;

// The parsed head of a file, with typed access to its metadata.
class GgufHeader {
 public:
  // Parses a file of `file_bytes`. Throws Error naming the metadata key or tensor at fault, or `source`.
  GgufHeader(uint64_t file_bytes, const ReadAt& read, std::string source);

  const std::map<std::string, GgufTensor, std::less<>>& tensors() const { return tensors_; }
  const std::string& source() const { return source_; }

  const GgufValue* find(std::string_view key) const;  // nullptr if there is none
  // A value of the given kind and range; `fallback` where there is none. Throw Error(PG_FAILED_PRECONDITION, key).
  uint64_t integer(const std::string& key, uint64_t low, uint64_t high, std::optional<uint64_t> fallback = {}) const;
  double number(const std::string& key, double low, double high, std::optional<double> fallback = {}) const;
  std::optional<std::string> text(const std::string& key) const;

  // Throws Error(code, key, "SOURCE: metadata KEY ...what").
  [[noreturn]] void refuse(pg_code code, const std::string& key, const std::string& what) const;

 private:
  std::string source_;
  std::map<std::string, GgufValue, std::less<>> values_;
  std::map<std::string, GgufTensor, std::less<>> tensors_;
};

// The strings of an array of them, given to `each` with their index. Throws Error if the array is of another kind.
void read_gguf_strings(const GgufHeader& header, const std::string& key, uint64_t file_bytes, const ReadAt& read,
                       const std::function<void(uint64_t, const std::string&)>& each);
// The numbers of an array of 32-bit integers.
std::vector<int32_t> read_gguf_integers(const GgufHeader& header, const std::string& key, const ReadAt& read);

}  // namespace polygraft
