#include "batch/step_runner.h"

#include <exception>
#include <utility>

#include "model/error.h"

namespace polygraft {

StepRunner::StepRunner(const ModelConfig& config, Backend& backend, const DeviceModel& model, KvPool& kv,
                       const StepLimits& limits, uint32_t max_context)
    : config_(config),
      kv_(kv),
      max_context_(max_context),
      allocator_(kv.blocks()),
      scheduler_(limits, allocator_),
      graph_(config, backend, model, limits.max_step_tokens),
      reader_(backend, config.vocab_size) {}

void StepRunner::submit(SequenceOptions options, Report& report) {
  auto sequence = std::make_unique<Sequence>(std::move(options), max_context_);
  if (sequence->target() > 0) {
    scheduler_.add(std::move(sequence));
    return;
  }
  const uint64_t id = sequence->options().id;
  report.started(id, 0);
  report_first_score(*sequence, report);
  report.finished(id, *sequence->finish());
}

void StepRunner::cancel(uint64_t id, Report& report) {
  if (scheduler_.remove(id)) report.finished(id, PG_FINISH_CANCELLED);
}

bool StepRunner::step(Report& report) {
  const std::vector<Chunk> chunks = scheduler_.plan();
  if (chunks.empty()) return false;
  uint32_t tokens = 0;
  for (const Chunk& chunk : chunks) tokens += chunk.count;
  std::span<const float> logits;
  bool together = true;
  try {
    logits = forward(chunks);
  } catch (const std::exception&) {
    together = false;
  }
  if (together) {
    finish(chunks, logits, report);
  } else {
    // Somebody in this batch is at fault. Keys and values are written by position, so each can be computed again alone.
    for (const Chunk& chunk : chunks) run_alone(chunk, report);
  }
  scheduler_.follow_adapters();  // now, so that the memory of what was parked is free when the host hears of this step
  report.load = load();
  report.load.step_tokens = tokens;
  return true;
}

void StepRunner::run_alone(const Chunk& chunk, Report& report) {
  std::span<const float> logits;
  try {
    logits = forward({&chunk, 1});
  } catch (const Error& e) {
    return fail(*chunk.sequence, e.code(), report);
  } catch (const std::exception&) {
    return fail(*chunk.sequence, PG_INTERNAL, report);
  }
  finish({&chunk, 1}, logits, report);
}

std::span<const float> StepRunner::forward(std::span<const Chunk> chunks) {
  tokens_.clear();
  spans_.clear();
  output_rows_.clear();
  for (const auto& [sequence, count] : chunks) {
    const uint32_t first = sequence->computed;
    const AdapterContent* const adapter = sequence->adapter();
    spans_.push_back({.first_row = static_cast<uint32_t>(tokens_.size()),
                      .count = count,
                      .first_position = first,
                      .kv_blocks = sequence->blocks,
                      .adapter = adapter != nullptr ? adapter->device() : nullptr});
    for (uint32_t position = first; position < first + count; ++position) {
      add_output_row(*sequence, position);
      tokens_.push_back(sequence->tokens()[position]);
    }
  }
  return graph_.forward({tokens_, spans_, output_rows_}, kv_);
}

// If something is to be read from the row of `position`, which is the next of the step.
void StepRunner::add_output_row(const Sequence& sequence, uint32_t position) {
  const bool scores = sequence.scores_at(position);
  const bool chooses = position + 1 == sequence.size() && !sequence.finish();
  if (!scores && !chooses) return;
  if (rows_.size() == output_rows_.size()) rows_.emplace_back();
  OutputRow& row = rows_[output_rows_.size()];
  output_rows_.push_back(static_cast<uint32_t>(tokens_.size()));
  row.sequence = &sequence;
  row.scores = scores;
  row.chooses = chooses;
  for (TokenReading* reading : {&row.score, &row.choice}) {
    reading->logprob = 0;
    reading->alternatives.clear();
  }
  if (row.scores) row.score.token = sequence.tokens()[position + 1];
}

void StepRunner::finish(std::span<const Chunk> chunks, std::span<const float> logits, Report& report) {
  reader_.read(std::span(rows_).first(output_rows_.size()), logits);
  uint32_t row = 0;
  for (const Chunk& chunk : chunks) finish_chunk(chunk, row, report);
}

void StepRunner::finish_chunk(const Chunk& chunk, uint32_t& row, Report& report) {
  Sequence& sequence = *chunk.sequence;
  const uint64_t id = sequence.options().id;
  if (sequence.replaced) report.replaced(id, sequence.adapter()->slot());
  sequence.replaced = false;
  if (!sequence.started) {
    report.started(id, sequence.cached_tokens);
    sequence.started = true;
    report_first_score(sequence, report);
  }
  const auto tell = [&](pg_event_kind kind, const TokenReading& reading) {
    const auto first = static_cast<uint32_t>(report.alternatives.size());
    report.alternatives.insert(report.alternatives.end(), reading.alternatives.begin(), reading.alternatives.end());
    report.token(id, kind, reading.token, reading.logprob, first);
  };
  pg_code code = PG_OK;
  for (; row < output_rows_.size() && rows_[row].sequence == &sequence; ++row) {
    const OutputRow& output = rows_[row];
    if (code == PG_OK) code = output.code;
    if (code != PG_OK) continue;  // go on counting rows
    if (output.scores) {
      tell(PG_EVENT_PROMPT_SCORE, output.score);
      ++sequence.scored;
    }
    if (output.chooses) {
      sequence.append(output.choice.token);
      tell(PG_EVENT_TOKEN, output.choice);
    }
  }
  if (code != PG_OK) return fail(sequence, code, report);
  scheduler_.advance(sequence, chunk.count);
  if (sequence.pending() == 0) {
    report.finished(id, *sequence.finish());
    scheduler_.remove(id);
  }
}

// The first token of a prompt follows nothing: its log-probability is 0 by definition.
void StepRunner::report_first_score(Sequence& sequence, Report& report) {
  if (!sequence.options().prompt_logprobs || sequence.input_count() == 0) return;
  const auto none = static_cast<uint32_t>(report.alternatives.size());
  report.token(sequence.options().id, PG_EVENT_PROMPT_SCORE, sequence.tokens()[0], 0, none);
  sequence.scored = 1;
}

void StepRunner::fail(Sequence& sequence, pg_code code, Report& report) {
  const uint64_t id = sequence.options().id;
  report.failed(id, code);
  scheduler_.remove(id);
}

void StepRunner::fail_all(pg_code code, Report& report) {
  while (!idle()) fail(*scheduler_.sequences().begin()->second, code, report);
}

pg_load StepRunner::load() const {
  pg_load load{};
  load.running = scheduler_.running();
  load.waiting = scheduler_.waiting();
  load.kv_blocks_used = scheduler_.prefix_cache().held();
  load.kv_blocks_cached = scheduler_.prefix_cache().idle();
  for (const auto& [id, sequence] : scheduler_.sequences()) {
    if (sequence->pending() > 1) load.waiting_tokens += sequence->pending();
    load.in_flight_tokens += sequence->final_size() - sequence->computed;
  }
  return load;
}

}  // namespace polygraft
