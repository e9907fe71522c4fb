// A Hugging Face checkpoint: model.safetensors, or the shards that model.safetensors.index.json names.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/safetensors.h"

namespace polygraft {

// A tensor and the file that holds it.
struct CheckpointTensor {
  const SafetensorsFile* file = nullptr;
  const TensorInfo* info = nullptr;

  void read_floats(uint64_t first, std::span<float> out) const { file->read_floats(*info, first, out); }
};

class Checkpoint {
 public:
  // Opens all files and checks their headers, and that index and files agree. Throws Error naming file or tensor.
  explicit Checkpoint(const std::string& dir);

  const CheckpointTensor* find(std::string_view name) const;  // nullptr if there is none
  const std::map<std::string, CheckpointTensor, std::less<>>& tensors() const { return tensors_; }
  const std::vector<SafetensorsFile>& files() const { return files_; }  // by name
  std::vector<const InputFile*> input_files() const;

 private:
  std::vector<SafetensorsFile> files_;
  std::map<std::string, CheckpointTensor, std::less<>> tensors_;
};

// The shard files that an index names, sorted. Throws Error(PG_DATA_LOSS or PG_FAILED_PRECONDITION) if the text is not
// an index, or if a file name could leave the folder.
struct ShardIndex {
  std::map<std::string, std::string, std::less<>> file_of;  // by tensor
  std::vector<std::string> files;
};
ShardIndex parse_shard_index(std::string_view text);

}  // namespace polygraft
