// The quantization_config of Hugging Face checkpoints that are 4-bit already: GPTQ, AWQ and bitsandbytes NF4.
#pragma once

#include <cstdint>

namespace polygraft {

struct FileQuantization {
  enum class Method { kNone, kGptq, kAwq, kNf4 } method = Method::kNone;
  uint32_t group = 0;         // inputs that share a scale (GPTQ, AWQ); 0: all of a row
  bool zeros_minus_one = false;  // GPTQ's first format stores zero points less one
};

class JsonObject;
// Of a config.json; kNone if it has none. Throws Error(PG_UNIMPLEMENTED or PG_FAILED_PRECONDITION) naming the key.
FileQuantization read_file_quantization(const JsonObject& config);

}  // namespace polygraft
