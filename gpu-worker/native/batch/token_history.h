// Which tokens a sequence has seen, as the penalties count them.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>

namespace polygraft {

// Distinct tokens of prompt and output, each with its number of occurrences in the output.
class TokenHistory {
 public:
  void add_prompt(std::span<const uint32_t> tokens) {
    for (const uint32_t token : tokens) outputs_.try_emplace(token, 0);
  }
  void add_output(uint32_t token) { ++outputs_[token]; }

  // Token -> occurrences in the output; 0: in the prompt only.
  const std::unordered_map<uint32_t, uint32_t>& outputs() const { return outputs_; }

 private:
  std::unordered_map<uint32_t, uint32_t> outputs_;
};

}  // namespace polygraft
