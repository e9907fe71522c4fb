// Where a model's weights come from, whatever the format of its files.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/input_file.h"
#include "model/weights.h"

namespace polygraft {

// The scheme and group size of a matrix that is quantized in its file already, where WeightMatrix can express them.
struct OwnGrid {
  Scheme scheme = Scheme::kW4;
  uint32_t group = 32;
  bool ordered = false;  // columns are not in the order of the inputs
  bool operator==(const OwnGrid&) const = default;
};

// One weight of the model, a matrix [n][k] or a vector. Reading is safe from several threads.
class SourceTensor {
 public:
  virtual ~SourceTensor() = default;
  virtual uint64_t bytes() const = 0;  // in the file
  // Elements [first, first + out.size()) in full precision.
  virtual void read_floats(uint64_t first, std::span<float> out) const = 0;
  virtual std::optional<OwnGrid> grid() const { return std::nullopt; }
  // Rows [first, first + count) as they are, into `out`, which is allocated for `grid()`: codes bit for bit, scales and
  // minimums rounded to fp16 where the file has more. The order of columns comes with row 0.
  virtual void read_grid(uint32_t first, uint32_t count, WeightMatrix& out) const;
};

// What a file has of most weights of the layers.
enum class Precision : uint8_t { kFull, kQuantized, kFourBit };  // kFourBit: on grids of the engine's

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // By Hugging Face name; every weight of the model is there.
  virtual const SourceTensor& at(const std::string& name) const = 0;
  // All that the weights depend on, in a fixed order.
  virtual std::vector<const InputFile*> files() const = 0;
  virtual Precision precision() const { return Precision::kFull; }
};

// A model on disk: a Hugging Face folder, or a GGUF file.
struct ModelFiles {
  ModelConfig config;
  std::string config_text;  // what of it does not lie in the files of the weights
  std::unique_ptr<WeightSource> weights;
};

// Opens it and checks that weights and config fit. Throws Error naming key, tensor or file at fault.
ModelFiles open_model_files(const std::string& path);

// A tensor of floats.
struct CheckpointTensor;
std::unique_ptr<SourceTensor> float_tensor(const CheckpointTensor& tensor);

// A folder's checkpoint that has passed check_tensors. `checkpoint` must outlive it.
class Checkpoint;
std::unique_ptr<WeightSource> checkpoint_source(const Checkpoint& checkpoint);

}  // namespace polygraft
