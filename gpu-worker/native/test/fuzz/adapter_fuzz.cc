// Fuzzes adapter_config.json, its patterns included.
#include <cmath>
#include <cstdlib>
#include <string>

#include "model/adapter_config.h"
#include "model/error.h"

using namespace polygraft;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const AdapterConfig config(std::string(reinterpret_cast<const char*>(data), size));
    for (const char* module : {"model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj"}) {
      config.targets(module);
      if (config.rank(module) == 0 || config.rank(module) > kMaxAdapterRank) std::abort();
      if (!std::isfinite(config.scaling(module))) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
