// The golden models of the repository's test/golden folder.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace polygraft::golden {

// What transformers and peft computed for one prompt.
struct Expected {
  std::vector<uint32_t> prompt;
  std::vector<std::vector<float>> logits;  // [prompt tokens][vocabulary]
  std::vector<uint32_t> greedy;            // tokens that follow
};

struct GoldenModel {
  std::string name;
  std::string dir;                                        // a Hugging Face checkpoint
  std::vector<std::string> adapters;                      // sorted
  std::map<std::string, std::vector<Expected>> expected;  // by adapter; "base" for none

  std::string adapter_dir(const std::string& adapter) const { return dir + "/adapters/" + adapter; }
};

// All golden models, by name. Throws Error if a file is missing or wrong.
const std::vector<GoldenModel>& models();

}  // namespace polygraft::golden
