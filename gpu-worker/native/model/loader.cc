#include "model/loader.h"

#include <algorithm>
#include <span>

#include "model/cache.h"
#include "model/checkpoint.h"
#include "model/gguf_model.h"
#include "model/input_file.h"
#include "model/kept_grids.h"
#include "model/parallel_for.h"
#include "model/progress.h"
#include "model/quantize.h"
#include "model/sha256.h"
#include "model/source.h"
#include "model/stored.h"
#include "model/weight_list.h"
#include "model/weight_source.h"

namespace polygraft {
namespace {

// Part of every digest: a new name when the same source would give other weights.
constexpr const char* kWeightsVersion = "polygraft-weights-2";
constexpr uint64_t kPieceFloats = 256u << 10;  // that a thread holds in full precision

void check_options(const QuantizeOptions& options) {
  if (options.scheme != Scheme::kF32 && options.group != 32 && options.group != 64 && options.group != 128)
    throw Error(PG_INVALID_ARGUMENT, "group", "group is " + std::to_string(options.group) + "; use 32, 64 or 128");
  if (options.head_bits != 4 && options.head_bits != 8 && options.head_bits != 32)
    throw Error(PG_INVALID_ARGUMENT, "head_bits",
                "head_bits is " + std::to_string(options.head_bits) + "; use 4, 8 or 32");
  if (options.head_bits == 4 && options.group != 32 && options.group != 64 && options.group != 128)
    throw Error(PG_INVALID_ARGUMENT, "group", "group is " + std::to_string(options.group) + "; use 32, 64 or 128");
}

// Covers every byte of config.json and of the weight files, and all that shapes the weights. File names do not count.
std::string model_digest(const std::vector<const InputFile*>& files, const std::string& config_text,
                         const QuantizeOptions& options, const KeptGrids& kept, const LoadProgress& progress) {
  uint64_t total = 0;
  for (const InputFile* file : files) total += file->size();
  Progress meter(progress, "read", total);
  Sha256 hash;
  hash.update(kWeightsVersion);
  hash.update_count(static_cast<uint64_t>(options.scheme));
  hash.update_count(options.scheme == Scheme::kF32 && options.head_bits != 4 ? 0 : options.group);
  hash.update_count(options.head_bits);
  if (options.grid != Grid::kSearched) hash.update_count(static_cast<uint64_t>(options.grid));
  for (const auto& [name, grid] : kept) {
    hash.update(name);
    hash.update_count(static_cast<uint64_t>(grid.scheme));
    hash.update_count(grid.group);
  }
  hash.update_count(config_text.size());
  hash.update(config_text);
  for (const InputFile* file : files)
    hash.update(sha256_tree(
        file->size(), [&](uint64_t offset, std::span<uint8_t> out) { file->read(offset, out); },
        [&](uint64_t bytes) { meter.add(bytes); }));
  meter.finish();
  return "sha256:" + hex(hash.finish());
}

// Consecutive rows of a matrix, or a whole vector: what one thread reads and quantizes at a time.
struct Piece {
  const NamedWeight* weight = nullptr;
  const SourceTensor* tensor = nullptr;
  uint32_t first = 0, count = 0;

  uint64_t columns() const { return weight->shape.size() == 2 ? weight->shape[1] : 1; }
  uint64_t source_bytes() const { return tensor->bytes() / weight->shape[0] * count; }
};

std::vector<Piece> cut(const WeightSource& source, const std::vector<NamedWeight>& list) {
  std::vector<Piece> pieces;
  for (const NamedWeight& weight : list) {
    Piece piece{&weight, &source.at(weight.name), 0, 0};
    const auto rows = static_cast<uint32_t>(weight.shape[0]);
    const auto most = static_cast<uint32_t>(std::max<uint64_t>(1, kPieceFloats / piece.columns()));
    for (uint32_t first = 0; first < rows; first += piece.count) {
      piece.first = first;
      piece.count = weight.vector != nullptr ? rows : std::min(most, rows - first);
      pieces.push_back(piece);
    }
  }
  return pieces;
}

void load_piece(const Piece& piece, Grid grid) {
  const NamedWeight& weight = *piece.weight;
  if (weight.vector != nullptr) {
    read_weights(*piece.tensor, weight.name, 0, *weight.vector, false);
    return;
  }
  WeightMatrix& matrix = *weight.matrix;
  if (piece.tensor->grid() == OwnGrid{matrix.scheme, matrix.group, !matrix.order.empty()}) {
    piece.tensor->read_grid(piece.first, piece.count, matrix);
    return;
  }
  std::vector<float> rows(piece.count * piece.columns());
  const bool quantized = matrix.scheme != Scheme::kF32;
  read_weights(*piece.tensor, weight.name, piece.first * piece.columns(), rows, quantized);
  quantize_rows(rows.data(), piece.first, piece.count, matrix, grid);
}

// Room for the weights.
ModelWeights allocate_for(const WeightSource& source, const ModelConfig& config, const QuantizeOptions& options) {
  return allocate_weights(config, options, kept_grids(source, config, options));
}

}  // namespace

ModelWeights quantize_source(const WeightSource& source, const ModelConfig& config, const QuantizeOptions& options,
                             const LoadProgress& progress) {
  ModelWeights weights = allocate_for(source, config, options);
  const std::vector<NamedWeight> list = named_weights(config, weights);
  const std::vector<Piece> pieces = cut(source, list);
  uint64_t total = 0;
  for (const Piece& piece : pieces) total += piece.source_bytes();
  Progress meter(progress, "quantize", total);
  // All tensors in one go: threads that wait for each other at every tensor lose much on a busy machine.
  parallel_for(pieces.size(), 1, [&](uint64_t i, uint64_t) {
    load_piece(pieces[i], options.grid);
    meter.add(pieces[i].source_bytes());
  });
  meter.finish();
  return weights;
}

namespace {

// A folder that `polygraft quantize` wrote; none if this is not one.
std::optional<LoadedModel> load_stored(const std::string& dir, const QuantizeOptions& options,
                                       const LoadProgress& progress) {
  if (is_gguf_path(dir)) return std::nullopt;
  LoadedModel model;
  model.config = read_model_config(dir);
  const Checkpoint checkpoint(dir);
  const auto own = stored_options(checkpoint);
  if (!own) return std::nullopt;
  model.options = options.scheme == Scheme::kF32 ? options : *own;
  const std::string config_text = read_text_file(dir + "/config.json", kMaxConfigBytes);
  model.digest = model_digest(checkpoint.input_files(), config_text, model.options, {}, progress);
  model.weights = read_stored(checkpoint, model.config, *own, progress);
  if (options.scheme == Scheme::kF32) expand_to_f32(model.config, model.weights);
  return model;
}

}  // namespace

LoadedModel load_model(const std::string& path, const QuantizeOptions& options, const std::string& cache_dir,
                       const LoadProgress& progress) {
  check_options(options);
  if (auto stored = load_stored(path, options, progress)) return std::move(*stored);
  const ModelFiles files = open_model_files(path);
  const WeightSource& source = *files.weights;
  LoadedModel model;
  model.config = files.config;
  model.options = options;
  const KeptGrids kept = kept_grids(source, model.config, options);
  model.digest = model_digest(source.files(), files.config_text, options, kept, progress);
  if (!cache_dir.empty()) {
    model.weights = allocate_weights(model.config, options, kept);
    if (read_cache(cache_dir, model.digest, model.config, model.weights, progress)) return model;
    model.weights = {};
  }
  model.weights = quantize_source(source, model.config, options, progress);
  if (!cache_dir.empty()) write_cache(cache_dir, model.digest, model.config, model.weights);
  return model;
}

}  // namespace polygraft
