#include "test/support/files.h"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "model/json.h"

namespace polygraft::files {

namespace fs = std::filesystem;

TempDir::TempDir() {
  static std::atomic<int> counter{0};
  path_ =
      (fs::temp_directory_path() / ("polygraft-test-" + std::to_string(::getpid()) + "-" + std::to_string(counter++)))
          .string();
  fs::create_directories(path_);
}

TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::string read_file(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

void copy_dir(const std::string& from, const std::string& to) { fs::copy(from, to, fs::copy_options::recursive); }

std::string safetensors_bytes(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(static_cast<uint64_t>(header.size()) >> 8 * i);
  return bytes + header + data;
}

std::vector<Tensor> read_tensors(const std::string& path) {
  const SafetensorsFile file(path);
  std::vector<Tensor> all;
  for (const auto& [name, info] : file.header().tensors) {
    Tensor tensor{name, info.dtype, info.shape, std::string(info.end - info.begin, '\0')};
    file.read_bytes(info, 0, {reinterpret_cast<uint8_t*>(tensor.bytes.data()), tensor.bytes.size()});
    all.push_back(std::move(tensor));
  }
  return all;
}

void write_tensors(const std::string& path, const std::vector<Tensor>& tensors,
                   const std::map<std::string, std::string, std::less<>>& metadata) {
  std::string header = "{", data;
  for (const auto& [key, value] : metadata)
    header += (header.size() > 1 ? "," : "\"__metadata__\":{") + quote_json(key) + ":" + quote_json(value);
  if (!metadata.empty()) header += "}";
  for (const Tensor& tensor : tensors) {
    header += (header.size() > 1 ? "," : "") + quote_json(tensor.name) + ":{\"dtype\":\"" + dtype_name(tensor.dtype) +
              "\",\"shape\":" + shape_text(tensor.shape) + ",\"data_offsets\":[" + std::to_string(data.size()) + "," +
              std::to_string(data.size() + tensor.bytes.size()) + "]}";
    data += tensor.bytes;
  }
  write_file(path, safetensors_bytes(header + "}", data));
}

}  // namespace polygraft::files
