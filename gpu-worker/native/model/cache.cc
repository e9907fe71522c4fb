#include "model/cache.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>

#include "model/progress.h"
#include "model/safetensors.h"
#include "model/safetensors_writer.h"
#include "model/sha256.h"
#include "model/weight_list.h"

namespace polygraft {
namespace {

constexpr const char* kFormat = "polygraft-cache-1";

// "sha256:abc…" -> "abc….safetensors".
std::filesystem::path cache_path(const std::string& cache_dir, const std::string& digest) {
  return std::filesystem::path(cache_dir) / (digest.substr(digest.find(':') + 1) + ".safetensors");
}

// A digest of the arrays one after the other, as they lie in the file.
Digest content_digest(const std::vector<NamedBytes>& arrays, Progress* progress) {
  std::vector<uint64_t> begins;
  uint64_t total = 0;
  for (const NamedBytes& array : arrays) {
    begins.push_back(total);
    total += array.bytes.size();
  }
  const auto read = [&](uint64_t offset, std::span<uint8_t> out) {
    size_t i = static_cast<size_t>(std::upper_bound(begins.begin(), begins.end(), offset) - begins.begin()) - 1;
    for (size_t done = 0; done < out.size(); ++i) {
      const uint64_t skip = offset + done - begins[i];
      const size_t count = std::min<size_t>(out.size() - done, arrays[i].bytes.size() - skip);
      std::memcpy(out.data() + done, arrays[i].bytes.data() + skip, count);
      done += count;
    }
  };
  return sha256_tree(total, read, [&](uint64_t bytes) {
    if (progress != nullptr) progress->add(bytes);
  });
}

bool metadata_is(const SafetensorsHeader& header, const char* key, const std::string& value) {
  const auto at = header.metadata.find(key);
  return at != header.metadata.end() && at->second == value;
}

}  // namespace

bool read_cache(const std::string& cache_dir, const std::string& digest, const ModelConfig& config,
                ModelWeights& weights, const LoadProgress& progress) {
  try {
    const SafetensorsFile file(cache_path(cache_dir, digest).string());
    if (!metadata_is(file.header(), "format", kFormat) || !metadata_is(file.header(), "digest", digest)) return false;
    const std::vector<NamedBytes> arrays = named_bytes(config, weights);
    if (arrays.size() != file.header().tensors.size()) return false;
    for (const NamedBytes& array : arrays) {
      const TensorInfo* info = file.find(array.name);
      if (info == nullptr || info->dtype != array.dtype || info->shape != array.shape) return false;
    }
    uint64_t total = 0;
    for (const NamedBytes& array : arrays) total += array.bytes.size();
    Progress meter(progress, "read", 2 * total);  // once to read, once to check
    for (const NamedBytes& array : arrays) {
      file.read_bytes(*file.find(array.name), 0, array.bytes);
      meter.add(array.bytes.size());
    }
    const std::string content = hex(content_digest(arrays, &meter));
    meter.finish();
    return metadata_is(file.header(), "content", content);
  } catch (const Error& e) {
    if (e.code() == PG_CANCELLED) throw;
    return false;
  }
}

bool write_cache(const std::string& cache_dir, const std::string& digest, const ModelConfig& config,
                 ModelWeights& weights) {
  static std::atomic<uint64_t> counter{0};
  std::error_code error;
  std::filesystem::create_directories(cache_dir, error);
  const std::filesystem::path path = cache_path(cache_dir, digest);
  const std::filesystem::path temporary =
      path.string() + "." + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".tmp";
  const std::vector<NamedBytes> arrays = named_bytes(config, weights);
  const std::string content = hex(content_digest(arrays, nullptr));
  if (!write_safetensors(temporary.string(), {{"format", kFormat}, {"digest", digest}, {"content", content}}, arrays)) {
    std::filesystem::remove(temporary, error);
    return false;
  }
  std::filesystem::rename(temporary, path, error);
  if (!error) return true;
  std::filesystem::remove(temporary, error);
  return false;
}

}  // namespace polygraft
