#include "test/support/golden.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "model/error.h"
#include "model/input_file.h"
#include "model/json.h"
#include "model/safetensors.h"

namespace polygraft::golden {
namespace {

std::vector<std::string> folders_in(const std::string& dir) {
  std::vector<std::string> names;
  if (!std::filesystem::is_directory(dir)) return names;
  for (const auto& entry : std::filesystem::directory_iterator(dir))
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<uint32_t> tokens_of(const Json& json) {
  std::vector<uint32_t> tokens;
  for (const Json& token : json.array()) tokens.push_back(static_cast<uint32_t>(token.integer()));
  return tokens;
}

// The repository's, or those of the folder that PG_GOLDEN names: see test/golden/generate.py --checkpoint.
std::string golden_dir() {
  const char* other = std::getenv("PG_GOLDEN");
  return other != nullptr ? other : PG_GOLDEN_DIR;
}

GoldenModel read_golden(const std::string& name) {
  GoldenModel golden;
  golden.name = name;
  golden.dir = golden_dir() + "/" + name;
  golden.adapters = folders_in(golden.dir + "/adapters");
  const Json json = parse_json(read_text_file(golden.dir + "/expected.json", 1 << 20), "expected.json");
  const SafetensorsFile file(golden.dir + "/expected.safetensors");
  for (const auto& [adapter, greedy] : json.find("greedy")->members()) {
    for (size_t i = 0; i < greedy.array().size(); ++i) {
      Expected expected;
      expected.prompt = tokens_of(json.find("prompts")->array()[i]);
      expected.greedy = tokens_of(greedy.array()[i]);
      const TensorInfo* info = file.find(adapter + "/" + std::to_string(i));
      if (info == nullptr) throw Error(PG_NOT_FOUND, adapter, "expected.safetensors lacks " + adapter);
      for (uint64_t t = 0; t < info->shape[0]; ++t) {
        expected.logits.emplace_back(info->shape[1]);
        file.read_floats(*info, t * info->shape[1], expected.logits.back());
      }
      golden.expected[adapter].push_back(std::move(expected));
    }
  }
  return golden;
}

}  // namespace

const std::vector<GoldenModel>& models() {
  static const std::vector<GoldenModel> all = [] {
    std::vector<GoldenModel> found;
    for (const std::string& name : folders_in(golden_dir()))
      if (file_exists(golden_dir() + "/" + name + "/expected.json")) found.push_back(read_golden(name));
    return found;
  }();
  return all;
}

}  // namespace polygraft::golden
