// How the next token is chosen.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "abi/engine.h"
#include "batch/token_history.h"

namespace polygraft {

// A bias at or below this bans its token.
inline constexpr float kBanBias = -100.0f;

// SamplingOptions of inference.proto, checked.
struct SamplingParams {
  float temperature = 0;  // 0: greedy
  uint32_t top_k = 0;     // 0: all
  float top_p = 1;
  float min_p = 0;
  float repetition_penalty = 1;
  float frequency_penalty = 0;
  float presence_penalty = 0;
  uint64_t seed = 0;
  std::vector<pg_logit_bias> bias = {};

  bool penalizes() const { return repetition_penalty != 1 || frequency_penalty != 0 || presence_penalty != 0; }
};

// Chooses tokens. Steps in order: bias, penalties, temperature, top-k, top-p, min-p, draw. The choice depends on the
// row, the parameters, the history and the output position alone. Scratch memory is reused from row to row.
class Sampler {
 public:
  explicit Sampler(uint32_t vocabulary_size);

  // The token for output `position`, counted from 0 with resumed tokens included. `logits` are finite. `history` is
  // read only if the parameters penalize.
  uint32_t sample(std::span<const float> logits, const SamplingParams& params, const TokenHistory& history,
                  uint64_t position);

 private:
  void change_logits(const SamplingParams& params, const TokenHistory& history);
  void scale(float temperature);
  void keep_top_k(uint32_t k);
  void keep_top_p(float p);
  void drop_below(float min_p);
  template <typename Measure>
  void keep_prefix(Measure measure, double target);
  double kept_mass();
  uint32_t draw(double uniform);

  std::vector<float> logits_;   // changed logits, then (logit - max) / temperature; -infinity: dropped
  std::vector<float> weights_;  // exp(logits_), 0: dropped
  std::vector<double> buckets_, chunk_masses_;
  std::vector<uint32_t> boundary_;
};

}  // namespace polygraft
