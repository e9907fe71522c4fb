// Log-probabilities under the model: of the raw logits, before any bias, penalty, temperature or filter.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "abi/engine.h"

namespace polygraft {

// ln p of any token of one row of logits. Keeps a view of the row.
class LogProbs {
 public:
  explicit LogProbs(std::span<const float> logits);
  float of(uint32_t token) const;

 private:
  std::span<const float> logits_;
  float max_;
  double log_sum_;
};

// Appends the `count` most probable tokens of a row, best first, ties by the lower id. One pass, no sort of the row.
void append_top(std::span<const float> logits, const LogProbs& logprobs, uint32_t count,
                std::vector<pg_alternative>& out);

}  // namespace polygraft
