// How one linear op is cut into tickets: which adapter spans its rows have, the shrink tasks that compute their rank-r
// vectors, and where these lie.
#pragma once

#include <vector>

#include "cpu/aligned_buffer.h"
#include "cpu/cpu_adapter.h"
#include "cpu/cpu_model.h"
#include "cpu/kernels/kernels.h"

namespace polygraft {

// Where the outputs of some tiles go.
struct TileRange {
  uint32_t tiles;
  uint32_t part;
  uint32_t n;              // outputs
  uint32_t output_offset;  // in the op's result
};

// Rows that have one adapter, or none, and the shrink tasks that are theirs alone.
struct RowPiece {
  uint32_t first_row, rows;
  uint32_t first_shrink, last_shrink;
};

struct FormScratch;

// What a plan is made for.
struct LinearInput {
  const float* x = nullptr;  // [rows][k]
  const FormScratch* forms = nullptr;  // of the op, prepared for the rows
  uint32_t row_step = 1;     // rows of a piece without an adapter
};

struct LinearPlan {
  std::vector<std::vector<ExpandSpan>> spans;  // by part, ascending rows
  std::vector<RowPiece> pieces;                // of all rows, ascending
  std::vector<ShrinkTile> shrinks;
  std::vector<uint32_t> shrink_tickets;  // ticket i runs shrinks [shrink_tickets[i], shrink_tickets[i + 1])
  std::vector<TileRange> ranges;         // one for each part; gate and up share one
  bool shrinks_read_forms = false;       // so that the forms must be there first: some adapter is in int8

  // For the rows of a step and its sequences' adapters. `shrunk` grows to hold their rank-r vectors.
  void build(const LinearOp& op, uint32_t layer, const StepBatch& batch, const LinearInput& input,
             std::vector<RankTile>& shrunk, bool paired);
  // For an op of one part without adapters: the head.
  void build(uint32_t n, uint32_t rows, uint32_t row_step);

 private:
  struct Segment {
    uint32_t first_row, count;
    const CpuAdapter* adapter;  // or null
  };
  void join_sequences(const StepBatch& batch);
  // The spans of a segment, whose vectors begin at `v`. Returns where the next one's begin.
  RankTile* add_spans(const LinearOp& op, uint32_t layer, const Segment& segment, RankTile* v);
  // Cuts a segment into pieces. Adapted ones get kShrinkRows rows, if there are so many, for each reads all of A.
  void add_pieces(const LinearOp& op, uint32_t layer, const Segment& segment, const LinearInput& input);
  // The shrink tasks of rows of a segment, into the vectors of its spans.
  void add_shrinks(const LinearOp& op, uint32_t layer, const Segment& segment, uint32_t first_row, uint32_t rows,
                   const LinearInput& input);
  void cut_shrink_tickets();
  std::vector<Segment> segments_;
};

// An op's input in one of its forms.
struct FormScratch {
  std::vector<float> ordered;
  AlignedBuffer codes;  // int8; tile registers are loaded by whole cache lines
  std::vector<float> scales, sums, scaled_sums;
  const float* x = nullptr;  // [rows][k], in the form's order
  QuantizedRows quantized;   // where it is

  // Room for `rows` rows of k floats that come as `input`.
  void prepare(const InputForm& form, uint32_t k, uint32_t rows, const float* input);
  // Brings row `row` into the form.
  void fill(const InputForm& form, const Kernels& kernels, uint32_t k, const float* input, uint32_t row);
};

}  // namespace polygraft
