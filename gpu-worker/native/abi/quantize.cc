// The C ABI over quantizing ahead of time.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "abi/boundary.h"
#include "abi/engine.h"
#include "abi/engine_plan.h"
#include "calibrate/calibrate.h"
#include "calibrate/weight_error.h"
#include "model/backend.h"
#include "model/checkpoint.h"
#include "model/config_text.h"
#include "model/error.h"
#include "model/gguf_model.h"
#include "model/input_file.h"
#include "model/loader.h"
#include "model/stored.h"
#include "model/weight_list.h"
#include "model/weight_source.h"

namespace polygraft {
namespace {

constexpr uint32_t kDefaultSequence = 512;  // where the model has as many positions

std::string text_option(const char* value, const char* field, const char* what) {
  if (value == nullptr || value[0] == '\0')
    throw Error(PG_INVALID_ARGUMENT, field, std::string(field) + " is missing: it must be " + what);
  return value;
}

Grid grid_of(pg_grid grid, bool calibrated) {
  if (calibrated && grid != PG_GRID_SEARCHED)
    throw Error(PG_INVALID_ARGUMENT, "grid", "calibration searches its grids: leave grid at its default");
  switch (grid) {
    case PG_GRID_SEARCHED: return Grid::kSearched;
    case PG_GRID_PLAIN: return Grid::kPlain;
    case PG_GRID_SYMMETRIC: return Grid::kSymmetric;
  }
  throw Error(PG_INVALID_ARGUMENT, "grid", "grid is unknown: use searched, plain or symmetric");
}

void write_text_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  if (!file.flush()) throw Error(PG_INTERNAL, "out_file", path + " cannot be written");
}

uint64_t parameters(const ModelConfig& config, ModelWeights& weights) {
  uint64_t sum = 0;
  for (const NamedWeight& weight : named_weights(config, weights))
    if (weight.matrix != nullptr) sum += weight.shape[0] * weight.shape[1];
  return sum;
}

void quantize_model(const pg_quantize_options& given, const LoadProgress& progress, pg_quantize_report& report) {
  const std::string dir = text_option(given.model_dir, "model_dir", "a folder with config.json");
  const std::string out = text_option(given.out_file, "out_file", "the file to write");
  const bool calibrated = given.tokens != nullptr;
  QuantizeOptions options = check_quantization(given.scheme, given.group, given.head_bits);
  options.grid = grid_of(given.grid, calibrated);

  const bool gguf = is_gguf_path(dir);
  if (!gguf && file_exists(dir + "/config.json") && stored_options(Checkpoint(dir)))
    throw Error(PG_FAILED_PRECONDITION, "model_dir", dir + " is quantized already: quantize its source");
  const ModelFiles files = open_model_files(dir);
  const ModelConfig& config = files.config;
  const WeightSource& source = *files.weights;
  if (source.precision() == Precision::kFourBit)
    throw Error(PG_FAILED_PRECONDITION, "model_dir",
                dir + " is in 4 bits already and keeps its own grid, on which nothing is lost: serve it as it is");
  const std::string config_json = gguf ? config_text(config) : "";  // refused before the work, not after
  options.keep = Keep::kNothing;
  ModelWeights weights;
  std::map<std::string, std::string> notes;
  if (calibrated) {
    BackendOptions exact;
    exact.threads = given.threads;
    exact.activations = PG_ACTIVATIONS_F32;
    exact.kv = PG_KV_F32;
    const auto backend = create_cpu_backend(exact);
    const uint32_t sequence =
        given.sequence_tokens != 0 ? given.sequence_tokens : std::min(kDefaultSequence, config.max_position);
    const CalibrationTokens tokens{{given.tokens, given.token_count}, sequence};
    CalibrationGain gain;
    weights = calibrate_checkpoint(source, config, options, tokens, *backend, progress, gain);
    std::copy(gain.rounded.begin(), gain.rounded.end(), report.rounded_output_error);
    std::copy(gain.calibrated.begin(), gain.calibrated.end(), report.output_error);
    notes["calibration_tokens"] = std::to_string(given.token_count);
  } else {
    weights = quantize_source(source, config, options, progress);
  }
  const WeightError error = weight_error(source, config, weights, progress);
  std::copy(error.plain.begin(), error.plain.end(), report.plain_weight_error);
  std::copy(error.stored.begin(), error.stored.end(), report.weight_error);
  report.layers = config.layers;
  report.parameters = parameters(config, weights);
  write_stored(out, config, options, weights, std::move(notes));
  if (gguf) write_text_file((std::filesystem::path(out).parent_path() / "config.json").string(), config_json);
  report.bytes = std::filesystem::file_size(out);
}

}  // namespace
}  // namespace polygraft

using namespace polygraft;

extern "C" pg_code pg_quantize(const pg_quantize_options* options, pg_progress progress, void* user,
                               pg_quantize_report* out, pg_error* error) {
  return guarded(error, [&] {
    pg_quantize_report report{};
    quantize_model(
        read_struct(options, "options"),
        [progress, user](const char* phase, uint64_t done, uint64_t total) {
          return progress == nullptr || progress(user, phase, done, total);
        },
        report);
    write_struct(required(out, "out"), report);
  });
}
