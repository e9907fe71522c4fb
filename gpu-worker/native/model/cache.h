// Quantized checkpoints on disk, so that a model is quantized once.
//
// A cache file is a safetensors file named after the model's digest, which covers every byte of the source and the
// options: moved or renamed folders share it, and a changed source never meets a stale one. It carries a digest of its
// own content; whatever does not fit is ignored and written anew.
#pragma once

#include <string>

#include "model/config.h"
#include "model/loader.h"
#include "model/weights.h"

namespace polygraft {

// Fills `weights`, allocated for the model, from the cache. False if there is no usable file; `weights` may then hold
// anything. Phase "read". Throws only if `progress` wants to stop.
bool read_cache(const std::string& cache_dir, const std::string& digest, const ModelConfig& config,
                ModelWeights& weights, const LoadProgress& progress);

// Writes under a name of its own and renames, so that readers see whole files only. The folder is made if need be.
// Returns false if the disk is full or the folder not writable: the model is served all the same.
bool write_cache(const std::string& cache_dir, const std::string& digest, const ModelConfig& config,
                 ModelWeights& weights);

}  // namespace polygraft
