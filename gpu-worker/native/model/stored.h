// Checkpoints that are stored in the engine's own formats: what `polygraft quantize` writes.
//
// Such a folder is a Hugging Face folder whose model.safetensors holds codes, scales and minimums instead of floats, in
// the canonical layout of model/weights.h under the names of model/weight_list.h. Its metadata says which: "format",
// "scheme" (w4, nf4, w8, f32), "group", "head_bits".
#pragma once

#include <map>
#include <optional>
#include <string>

#include "model/checkpoint.h"
#include "model/loader.h"

namespace polygraft {

// The options of a stored checkpoint; none if this is not one. Throws Error(PG_UNIMPLEMENTED or PG_DATA_LOSS, "format",
// "scheme", …) if it is one that this engine cannot read.
std::optional<QuantizeOptions> stored_options(const Checkpoint& checkpoint);

// Its weights. Names, dtypes and shapes are checked before room is made for any of them. Phase "read". Throws Error
// naming the array at fault.
ModelWeights read_stored(const Checkpoint& checkpoint, const ModelConfig& config, const QuantizeOptions& options,
                         const LoadProgress& progress);

// Writes the file. `notes` go into the metadata besides. Throws Error(PG_INTERNAL, "out_file") if it cannot be written;
// nothing is left then.
void write_stored(const std::string& path, const ModelConfig& config, const QuantizeOptions& options,
                  ModelWeights& weights, std::map<std::string, std::string> notes);

// Every matrix as the floats that it stands for.
void expand_to_f32(const ModelConfig& config, ModelWeights& weights);

}  // namespace polygraft
