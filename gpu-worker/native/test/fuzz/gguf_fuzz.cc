// Fuzzes the head of GGUF files: any bytes are a header or an Error, and what a header lets through is safe to read.
#include <cstdlib>
#include <cstring>

#include "model/error.h"
#include "model/gguf.h"

using namespace polygraft;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto read = [&](uint64_t offset, std::span<uint8_t> out) {
    if (offset > size || out.size() > size - offset) std::abort();
    std::memcpy(out.data(), data + offset, out.size());
  };
  try {
    const GgufHeader header(size, read, "fuzz");
    uint64_t bytes = 0;
    for (const auto& [name, tensor] : header.tensors()) {
      const GgmlTypeInfo& type = ggml_type(tensor.type);
      if (tensor.begin > size || tensor.bytes > size - tensor.begin) std::abort();
      std::vector<float> block(type.block_weights);
      decode_ggml(tensor.type, data + tensor.begin, 1, block.data());
      bytes += tensor.bytes;
    }
    if (bytes > size) std::abort();
    read_gguf_strings(header, "tokenizer.ggml.tokens", size, read, [](uint64_t, const std::string&) {});
    read_gguf_integers(header, "tokenizer.ggml.token_type", read);
  } catch (const Error&) {
  }
  return 0;
}
