// One step after another: plan, forward, sample, report. No thread of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "batch/report.h"
#include "batch/output_reader.h"
#include "batch/scheduler.h"
#include "model/backend.h"
#include "model/graph.h"

namespace polygraft {

// Runs sequences on a model. A sequence whose logits are not finite, or for which the backend throws, fails alone; the
// others of its step go on as if it had not been there.
class StepRunner {
 public:
  // The model's parts must outlive the runner. `max_context`: most tokens of a sequence.
  StepRunner(const ModelConfig& config, Backend& backend, const DeviceModel& model, KvPool& kv,
             const StepLimits& limits, uint32_t max_context);

  // Queues a sequence. One with nothing to compute starts and finishes in `report` at once.
  void submit(SequenceOptions options, Report& report);
  // Ends a sequence and frees its blocks; unknown ids are ignored.
  void cancel(uint64_t id, Report& report);
  // Computes one step and appends its events and load to `report`. False: there was nothing to do.
  bool step(Report& report);
  // Fails all sequences: the way out when not even a step can be planned.
  void fail_all(pg_code code, Report& report);

  bool idle() const { return scheduler_.sequences().empty(); }
  // Whether sequences wait for their adapters to be back.
  bool has_parked() const { return scheduler_.has_parked(); }
  // Running, waiting, tokens and blocks as they are now. Steps and adapter bytes are the caller's.
  pg_load load() const;
  const Scheduler& scheduler() const { return scheduler_; }

 private:
  void run_alone(const Chunk& chunk, Report& report);
  std::span<const float> forward(std::span<const Chunk> chunks);
  void finish(std::span<const Chunk> chunks, std::span<const float> logits, Report& report);
  void finish_chunk(const Chunk& chunk, uint32_t& row, Report& report);
  void add_output_row(const Sequence& sequence, uint32_t position);
  void report_first_score(Sequence& sequence, Report& report);
  void fail(Sequence& sequence, pg_code code, Report& report);

  const ModelConfig& config_;
  KvPool& kv_;
  const uint32_t max_context_;
  KvAllocator allocator_;
  Scheduler scheduler_;
  Graph graph_;
  OutputReader reader_;
  // Reused from step to step.
  std::vector<uint32_t> tokens_, output_rows_;
  std::vector<SequenceSpan> spans_;
  std::vector<OutputRow> rows_;  // the first output_rows_.size() of them are this step's
};

}  // namespace polygraft
