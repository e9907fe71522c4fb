// Fuzzes the layers of GPTQ, AWQ and NF4 checkpoints: any safetensors file holds the layer or is an Error, and a layer
// that was let through can be read whole, row by row, and on its own grid. The first byte says which layout and group.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "model/error.h"
#include "model/quantize.h"
#include "model/quantized_source.h"

using namespace polygraft;

namespace {

constexpr uint32_t kN = 8, kK = 64;

// A folder of its own, removed at exit, in which each input becomes model.safetensors.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "packed_fuzz-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& hold(const uint8_t* data, size_t size) const {
    std::ofstream file(path_ + "/model.safetensors", std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
    if (!file.flush()) std::abort();
    return path_;
  }

 private:
  std::string path_;
};

std::unique_ptr<SourceTensor> layer(const Checkpoint& checkpoint, uint8_t kind) {
  using Method = FileQuantization::Method;
  constexpr uint32_t kGroups[] = {32, 64, 0, 48};
  const uint32_t group = kGroups[kind >> 2 & 3];
  switch (kind & 3) {
    case 0: return int4_tensor(checkpoint, "layer", kN, kK, {Method::kGptq, group, true});
    case 1: return int4_tensor(checkpoint, "layer", kN, kK, {Method::kGptq, group, false});
    case 2: return int4_tensor(checkpoint, "layer", kN, kK, {Method::kAwq, group, false});
    default: return nf4_tensor(checkpoint, "layer", kN, kK);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  if (size < 1) return 0;
  try {
    const Checkpoint checkpoint(folder.hold(data + 1, size - 1));
    const auto tensor = layer(checkpoint, data[0]);
    std::vector<float> all(kN * kK), row(kK);
    tensor->read_floats(0, all);
    for (uint32_t r = 0; r < kN; ++r) tensor->read_floats(uint64_t{r} * kK, row);
    if (const auto grid = tensor->grid()) {
      WeightMatrix held = allocate_matrix(kN, kK, grid->scheme, grid->group);
      tensor->read_grid(0, kN, held);
    }
  } catch (const Error&) {
  }
  return 0;
}
