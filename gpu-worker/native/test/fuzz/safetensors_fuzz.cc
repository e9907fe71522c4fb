// Fuzzes the header checks of safetensors files: any bytes are a header or an Error.
#include <cstdlib>
#include <string_view>

#include "model/error.h"
#include "model/safetensors.h"

using namespace polygraft;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 8) return 0;
  try {
    const uint64_t length = safetensors_header_bytes(std::span<const uint8_t, 8>(data, 8), size, "fuzz");
    const uint64_t data_bytes = size - 8 - length;
    const SafetensorsHeader header =
        parse_safetensors_header({reinterpret_cast<const char*>(data) + 8, length}, data_bytes, "fuzz");
    // What was let through must be safe to read.
    uint64_t covered = 0;
    for (const auto& [name, tensor] : header.tensors) {
      if (tensor.begin > tensor.end || tensor.end > data_bytes) std::abort();
      if (tensor.elements() * dtype_bytes(tensor.dtype) != tensor.end - tensor.begin) std::abort();
      covered += tensor.end - tensor.begin;
    }
    if (covered != data_bytes) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
