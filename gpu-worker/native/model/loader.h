// From files to weights: Hugging Face checkpoints and PEFT adapters.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "model/config.h"
#include "model/weights.h"

namespace polygraft {

// How the grid of a W4 group is found.
enum class Grid : uint8_t {
  kSearched,   // clip range and regression that lower the squared error
  kPlain,      // from the smallest weight to the largest
  kSymmetric,  // code 8 is zero, as in llama.cpp's Q4_0
};

// What of a quantized file stays as it is.
enum class Keep : uint8_t {
  kNothing,
  kGrids,  // 4-bit grids of the layers, and whatever grids embedding and head have
  kBits,   // those, and the rest of the layers in 8 bits: on the file's grid, or on one so fine that nothing is seen of it
};

struct QuantizeOptions {
  Scheme scheme = Scheme::kW4;  // of the linear layers
  uint32_t group = 32;          // 32, 64 or 128
  uint32_t head_bits = 8;       // embedding and head: 4 (kW4), 8 (kW8, groups of 64) or 32
  Grid grid = Grid::kSearched;
  Keep keep = Keep::kBits;  // but nothing of layers that are to be kF32, nor of embedding and head in 32 bits
};

// Called with (phase, done, total) bytes; returns false to stop (Error PG_CANCELLED).
using LoadProgress = std::function<bool(const char*, uint64_t, uint64_t)>;

struct LoadedModel {
  ModelConfig config;
  ModelWeights weights;
  std::string digest;       // "sha256:…" over source files and quantization
  QuantizeOptions options;  // as asked for, or a stored checkpoint's own; a file that keeps its bits is held otherwise
};

// Reads a folder (single or sharded safetensors; bf16, fp16 or fp32) or a GGUF file, quantizes, and keeps the result in `cache_dir` if that is
// not empty. A later call with the same source and options reads the cache. A thread holds 1 MiB in full precision at a
// time, so memory is that of the quantized model. A checkpoint that is stored quantized (model/stored.h) keeps its own
// options, but for kF32, which expands it.
LoadedModel load_model(const std::string& path, const QuantizeOptions& options, const std::string& cache_dir,
                       const LoadProgress& progress);

class WeightSource;
// The quantizing part of it. Matrices that the source has on the grid on which they are to be are taken as they are. Phase
// "quantize".
ModelWeights quantize_source(const WeightSource& source, const ModelConfig& config, const QuantizeOptions& options,
                             const LoadProgress& progress);

// Reads a PEFT LoRA folder and checks it against the model. Refuses what the engine cannot serve, naming the key.
AdapterWeights load_adapter(const std::string& dir, const ModelConfig& config);

// Quantizes one matrix of floats [n][k].
WeightMatrix quantize(const float* values, uint32_t n, uint32_t k, Scheme scheme, uint32_t group,
                      Grid grid = Grid::kSearched);

}  // namespace polygraft
