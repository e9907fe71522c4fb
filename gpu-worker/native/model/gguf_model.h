// Llama-family models in GGUF files: hyperparameters from the metadata, weights under their Hugging Face names.
#pragma once

#include <memory>
#include <string>

#include "model/config.h"
#include "model/gguf.h"
#include "model/input_file.h"
#include "model/weight_source.h"

namespace polygraft {

// A path that is a file and not a folder is taken for GGUF.
bool is_gguf_path(const std::string& path);

// An open GGUF file. Throws Error as InputFile and GgufHeader do.
class GgufFile {
 public:
  explicit GgufFile(const std::string& path)
      : file_(path), read_([this](uint64_t offset, std::span<uint8_t> out) { file_.read(offset, out); }),
        header_(file_.size(), read_, file_.name()) {}
  GgufFile(const GgufFile&) = delete;

  const InputFile& file() const { return file_; }
  const ReadAt& read() const { return read_; }
  const GgufHeader& header() const { return header_; }

 private:
  InputFile file_;
  ReadAt read_;
  GgufHeader header_;
};

// The config that a GGUF file's metadata and tensors stand for. Throws Error naming the metadata key.
ModelConfig gguf_model_config(const GgufFile& file);

// The weights; every tensor that the config calls for is there with its shape, and none besides. Throws Error naming the
// tensor. `file` must outlive it.
std::unique_ptr<WeightSource> gguf_source(const GgufFile& file, const ModelConfig& config);

}  // namespace polygraft
