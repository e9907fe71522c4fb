// A ModelConfig as the config.json that says the same.
#pragma once

#include <string>

#include "model/config.h"

namespace polygraft {

// The text of a config.json that parse_model_config reads as `config`, its FileQuantization left out. Throws
// Error(PG_UNIMPLEMENTED, key) for what config.json has no words for: divisors of RoPE (Llama 3.1 and later in GGUF),
// and biases that only some of a layer's matrices have.
std::string config_text(const ModelConfig& config);

}  // namespace polygraft
