// safetensors: an 8-byte length, a JSON header, then the tensors' bytes.
//
// Files may come from strangers. The header is checked in full before anything is allocated for a tensor: its size,
// every dtype, shape and offset, and that the tensors cover the data without gap or overlap.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/input_file.h"

namespace polygraft {

inline constexpr uint64_t kSafetensorsMaxHeader = 100'000'000;  // the format's own limit

enum class DType : uint8_t { kF64, kF32, kF16, kBf16, kI64, kI32, kI16, kI8, kU64, kU32, kU16, kU8, kBool, kF8 };

const char* dtype_name(DType dtype);
uint32_t dtype_bytes(DType dtype);
std::string shape_text(std::span<const uint64_t> shape);  // "[2, 3]"

struct TensorInfo {
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;  // at most 8 dimensions
  uint64_t begin = 0;           // bytes, from the start of the data
  uint64_t end = 0;

  uint64_t elements() const;
};

struct SafetensorsHeader {
  std::map<std::string, TensorInfo, std::less<>> tensors;
  std::map<std::string, std::string, std::less<>> metadata;
};

// Parses a header for `data_bytes` bytes of tensors. Throws Error naming the tensor at fault, or `source`.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes, const std::string& source);

// The length of the header in a file whose first 8 bytes are `prefix`. Throws Error(PG_DATA_LOSS, source).
uint64_t safetensors_header_bytes(std::span<const uint8_t, 8> prefix, uint64_t file_bytes, const std::string& source);

// An open file with a checked header. Reading is safe from several threads.
class SafetensorsFile {
 public:
  // Throws Error as InputFile and the parsers above do.
  explicit SafetensorsFile(const std::string& path);

  const SafetensorsHeader& header() const { return header_; }
  const InputFile& file() const { return file_; }
  const TensorInfo* find(std::string_view name) const;  // nullptr if there is none

  // Bytes [first, first + out.size()) of a tensor of this file.
  void read_bytes(const TensorInfo& tensor, uint64_t first, std::span<uint8_t> out) const;
  // Elements [first, first + out.size()) of an F32, F16 or BF16 tensor, as floats.
  void read_floats(const TensorInfo& tensor, uint64_t first, std::span<float> out) const;

 private:
  InputFile file_;
  SafetensorsHeader header_;
  uint64_t data_start_ = 0;
};

// True for the dtypes that read_floats takes.
bool is_float_dtype(DType dtype);

}  // namespace polygraft
