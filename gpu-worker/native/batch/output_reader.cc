#include "batch/output_reader.h"

#include <exception>

#include "batch/logprobs.h"
#include "batch/row_math.h"

namespace polygraft {
namespace {

void describe(std::span<const float> logits, const LogProbs& logprobs, uint32_t alternatives, TokenReading& reading) {
  reading.logprob = logprobs.of(reading.token);
  append_top(logits, logprobs, alternatives, reading.alternatives);
}

}  // namespace

OutputReader::OutputReader(Backend& backend, uint32_t vocabulary_size)
    : backend_(backend), vocabulary_size_(vocabulary_size) {
  for (uint32_t i = 0; i < backend.host_threads(); ++i) samplers_.emplace_back(vocabulary_size);
}

void OutputReader::read(std::span<OutputRow> rows, std::span<const float> logits) {
  backend_.run_on_host(static_cast<uint32_t>(rows.size()), [&](uint32_t i, uint32_t thread) {
    try {
      read_row(rows[i], logits.subspan(size_t{i} * vocabulary_size_, vocabulary_size_), samplers_[thread]);
    } catch (const std::exception&) {
      rows[i].code = PG_INTERNAL;
    }
  });
}

void OutputReader::read_row(OutputRow& row, std::span<const float> logits, Sampler& sampler) const {
  const SequenceOptions& options = row.sequence->options();
  if (!all_finite(logits)) {
    row.code = PG_DATA_LOSS;
    return;
  }
  row.code = PG_OK;
  if (row.chooses) {
    row.choice.token =
        sampler.sample(logits, options.sampling, row.sequence->history(), row.sequence->output_count());
  }
  const bool describes_choice = row.chooses && (options.logprobs || options.top_logprobs > 0);
  if (!row.scores && !describes_choice) return;
  const LogProbs logprobs(logits);
  if (row.scores) describe(logits, logprobs, options.top_logprobs, row.score);
  if (describes_choice) describe(logits, logprobs, options.top_logprobs, row.choice);
}

}  // namespace polygraft
