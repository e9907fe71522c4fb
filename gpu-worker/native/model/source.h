// What a weight source must hold: tensors that fit the config, and numbers that can be served.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "model/checkpoint.h"
#include "model/config.h"
#include "model/weight_source.h"

namespace polygraft {

// Every tensor there, of the right shape and dtype, and none besides. Throws Error naming the tensor at fault.
void check_tensors(const Checkpoint& checkpoint, const ModelConfig& config);

// Elements [first, first + out.size()) of a tensor. Throws Error(PG_DATA_LOSS) for NaN and infinity, and if the values
// are to be quantized, Error(PG_FAILED_PRECONDITION) for what fp16 scales cannot hold.
void read_weights(const SourceTensor& tensor, const std::string& name, uint64_t first, std::span<float> out,
                  bool quantized);

}  // namespace polygraft
