// Files for tests: a folder that goes away, and safetensors files, right or broken.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/safetensors.h"

namespace polygraft::files {

// A new folder, removed with all that is in it.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

void write_file(const std::string& path, const std::string& bytes);
std::string read_file(const std::string& path);
// Copies a folder's files and folders.
void copy_dir(const std::string& from, const std::string& to);

// Bytes of a safetensors file with this header and data.
std::string safetensors_bytes(const std::string& header, const std::string& data);

// A file taken apart, so that a test can change it and put it together again.
struct Tensor {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
  std::string bytes;
};
std::vector<Tensor> read_tensors(const std::string& path);
void write_tensors(const std::string& path, const std::vector<Tensor>& tensors,
                   const std::map<std::string, std::string, std::less<>>& metadata = {});

}  // namespace polygraft::files
