// Fuzzes config.json and generation_config.json (split by a zero byte), and the shard index.
#include <cstdlib>
#include <string>

#include "model/checkpoint.h"
#include "model/config.h"
#include "model/error.h"

using namespace polygraft;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const size_t zero = text.find('\0');
  try {
    const ModelConfig c =
        parse_model_config(text.substr(0, zero), zero == std::string::npos ? "" : text.substr(zero + 1));
    // What the engine relies on without looking again.
    if (c.layers == 0 || c.layers > 256 || c.heads == 0 || c.kv_heads == 0 || c.heads % c.kv_heads != 0) std::abort();
    if (c.head_dim == 0 || c.head_dim % 2 != 0 || c.head_dim > 256) std::abort();
    for (const uint32_t id : c.eos_token_ids)
      if (id >= c.vocab_size) std::abort();
  } catch (const Error&) {
  }
  try {
    for (const std::string& file : parse_shard_index(text).files)
      if (file.find('/') != std::string::npos || file.find('\\') != std::string::npos) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
