#include "batch/logprobs.h"

#include <algorithm>
#include <cmath>

#include "batch/row_math.h"

namespace polygraft {

LogProbs::LogProbs(std::span<const float> logits)
    : logits_(logits), max_(max_value(logits)), log_sum_(std::log(sum_exp(logits, max_))) {}

float LogProbs::of(uint32_t token) const {
  return static_cast<float>((static_cast<double>(logits_[token]) - static_cast<double>(max_)) - log_sum_);
}

void append_top(std::span<const float> logits, const LogProbs& logprobs, uint32_t count,
                std::vector<pg_alternative>& out) {
  count = std::min<uint32_t>(count, static_cast<uint32_t>(logits.size()));
  if (count == 0) return;
  // A sorted list of the best so far. Ids ascend, so a later token enters only if it is strictly better than the last.
  std::vector<uint32_t> best;
  best.reserve(count + 1);
  for (uint32_t id = 0; id < logits.size(); ++id) {
    if (best.size() == count && !(logits[id] > logits[best.back()])) continue;
    const auto place =
        std::find_if(best.begin(), best.end(), [&](uint32_t other) { return logits[id] > logits[other]; });
    best.insert(place, id);
    if (best.size() > count) best.pop_back();
  }
  for (const uint32_t id : best) out.push_back({id, logprobs.of(id)});
}

}  // namespace polygraft
