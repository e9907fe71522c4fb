// What a step learns from the logits of its rows: scores of prompt tokens, and the tokens that come next.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "abi/engine.h"
#include "batch/sampler.h"
#include "batch/sequence.h"
#include "model/backend.h"

namespace polygraft {

// A token, and what was asked for about it.
struct TokenReading {
  uint32_t token = 0;
  float logprob = 0;
  std::vector<pg_alternative> alternatives;
};

struct OutputRow {
  const Sequence* sequence = nullptr;
  bool scores = false;   // the prompt token `score.token`, which follows this row's, gets its log-probability
  bool chooses = false;  // the next token is chosen

  pg_code code = PG_OK;  // why there is nothing below: PG_DATA_LOSS where a logit is not finite
  TokenReading score, choice;
};

// Reads rows on all threads of a backend. What is read from one does not depend on the others.
class OutputReader {
 public:
  OutputReader(Backend& backend, uint32_t vocabulary_size);
  // `logits`: [rows][vocabulary].
  void read(std::span<OutputRow> rows, std::span<const float> logits);

 private:
  void read_row(OutputRow& row, std::span<const float> logits, Sampler& sampler) const;

  Backend& backend_;
  const uint32_t vocabulary_size_;
  std::vector<Sampler> samplers_;  // by thread
};

}  // namespace polygraft
