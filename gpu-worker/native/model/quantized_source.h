// The weights of GPTQ, AWQ and bitsandbytes NF4 checkpoints.
#pragma once

#include <memory>

#include "model/checkpoint.h"
#include "model/config.h"
#include "model/weight_source.h"

namespace polygraft {

// Every tensor that the config calls for is there with its shape and dtype, and none besides. Throws Error naming the
// tensor at fault. `checkpoint` must outlive it.
std::unique_ptr<WeightSource> quantized_source(const Checkpoint& checkpoint, const ModelConfig& config);

// The parts of it: a layer's matrix [n][k] called NAME, "….q_proj".
std::unique_ptr<SourceTensor> int4_tensor(const Checkpoint& checkpoint, const std::string& name, uint32_t n, uint32_t k,
                                          const FileQuantization& quantization);
std::unique_ptr<SourceTensor> nf4_tensor(const Checkpoint& checkpoint, const std::string& name, uint32_t n, uint32_t k);

// The tensor, or Error(PG_FAILED_PRECONDITION or PG_UNIMPLEMENTED) where it lacks or is not as called for.
const CheckpointTensor& expect_tensor(const Checkpoint& checkpoint, const std::string& name, DType dtype,
                                      const std::vector<uint64_t>& shape);
// fp16 of a finite number, or Error naming the tensor: NaN, or more than fp16 holds.
uint16_t finite_fp16(float value, const std::string& name);
// The largest group size of the kernels that divides a file's; none if there is none. `group` 0: whole rows.
std::optional<uint32_t> served_group(uint32_t group);

}  // namespace polygraft
