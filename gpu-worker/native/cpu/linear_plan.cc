#include "cpu/linear_plan.h"

#include <algorithm>

namespace polygraft {
namespace {

constexpr uint32_t kShrinkRows = 32;        // rows of one shrink task
constexpr uint64_t kShrinkTicket = 4096;  // steps of sixteen multiply-adds that make a ticket worth its while

}  // namespace

void LinearPlan::build(uint32_t n, uint32_t rows, uint32_t row_step) {
  spans.assign(1, {});
  pieces.clear();
  shrinks.clear();
  shrink_tickets.assign(1, 0);
  shrinks_read_forms = false;
  for (uint32_t row = 0; row < rows; row += row_step) pieces.push_back({row, std::min(row_step, rows - row), 0, 0});
  ranges.assign(1, {.tiles = tiles_of(n), .part = 0, .n = n, .output_offset = 0});
}

void LinearPlan::build(const LinearOp& op, uint32_t layer, const StepBatch& batch, const LinearInput& input,
                       std::vector<RankTile>& shrunk, bool paired) {
  ranges.clear();
  for (uint32_t p = 0; p < (paired ? 1 : op.parts.size()); ++p) {
    const LinearPart& part = op.parts[p];
    ranges.push_back({.tiles = tiles_of(part.n), .part = p, .n = part.n, .output_offset = part.output_offset});
  }

  join_sequences(batch);
  size_t needed = 0;
  for (const Segment& segment : segments_)
    for (const LinearPart& part : op.parts)
      if (segment.adapter)
        needed += static_cast<size_t>(segment.count) * tiles_of(segment.adapter->module(layer, part.projection).rank);
  if (shrunk.size() < needed) shrunk.resize(needed);

  spans.resize(op.parts.size());
  for (std::vector<ExpandSpan>& part : spans) part.clear();
  pieces.clear();
  shrinks.clear();
  shrinks_read_forms = false;
  RankTile* v = shrunk.data();
  for (const Segment& segment : segments_) {
    if (segment.adapter) v = add_spans(op, layer, segment, v);
    add_pieces(op, layer, segment, input);
  }
  cut_shrink_tickets();
}

// Neighbours with the same adapter share its loads.
void LinearPlan::join_sequences(const StepBatch& batch) {
  segments_.clear();
  for (const SequenceSpan& sequence : batch.sequences) {
    const auto* adapter = static_cast<const CpuAdapter*>(sequence.adapter);
    if (sequence.count == 0) continue;
    if (!segments_.empty() && segments_.back().adapter == adapter &&
        segments_.back().first_row + segments_.back().count == sequence.first_row)
      segments_.back().count += sequence.count;
    else
      segments_.push_back({sequence.first_row, sequence.count, adapter});
  }
}

RankTile* LinearPlan::add_spans(const LinearOp& op, uint32_t layer, const Segment& segment, RankTile* v) {
  for (size_t p = 0; p < op.parts.size(); ++p) {
    const CpuAdapterModule& module = segment.adapter->module(layer, op.parts[p].projection);
    if (module.rank == 0) continue;
    const uint32_t v_stride = tiles_of(module.rank);
    spans[p].push_back({.first_row = segment.first_row,
                        .count = segment.count,
                        .rank = module.rank,
                        .form = module.form,
                        .scaling = module.scaling,
                        .b = module.b,
                        .tile_bytes = module.b_tile_bytes,
                        .scales = module.b_scales,
                        .v = v,
                        .v_stride = v_stride});
    v += static_cast<size_t>(segment.count) * v_stride;
  }
  return v;
}

void LinearPlan::add_pieces(const LinearOp& op, uint32_t layer, const Segment& segment, const LinearInput& input) {
  const uint32_t step = segment.adapter ? kShrinkRows : input.row_step;
  for (uint32_t row = 0; row < segment.count; row += step) {
    const uint32_t first_row = segment.first_row + row, rows = std::min(step, segment.count - row);
    const auto first_shrink = static_cast<uint32_t>(shrinks.size());
    if (segment.adapter) add_shrinks(op, layer, segment, first_row, rows, input);
    pieces.push_back({first_row, rows, first_shrink, static_cast<uint32_t>(shrinks.size())});
  }
}

void LinearPlan::add_shrinks(const LinearOp& op, uint32_t layer, const Segment& segment, uint32_t first_row,
                             uint32_t rows, const LinearInput& input) {
  for (size_t p = 0; p < op.parts.size(); ++p) {
    const LinearPart& part = op.parts[p];
    const CpuAdapterModule& module = segment.adapter->module(layer, part.projection);
    if (module.rank == 0) continue;
    const ExpandSpan& span = spans[p].back();
    // A has the order of the model's inputs, which a matrix may have changed for itself.
    const InputForm& form = op.forms[part.form];
    const bool as_codes = module.form == AdapterForm::kInt8 && form.group != 0 && !form.order;
    shrinks_read_forms |= as_codes;
    for (uint32_t tile = 0; tile < tiles_of(module.rank); ++tile)
      shrinks.push_back({.a = module.a + tile * module.a_tile_bytes,
                         .form = module.form,
                         .scales = module.a_scales + tile * module.a_tile_scales,
                         .k = part.matrix.k,
                         .first_row = first_row,
                         .rows = rows,
                         .quantized = as_codes ? &input.forms[part.form].quantized : nullptr,
                         .x = input.x,
                         .v = span.v + static_cast<size_t>(first_row - segment.first_row) * span.v_stride + tile,
                         .v_stride = span.v_stride});
  }
}

void LinearPlan::cut_shrink_tickets() {
  shrink_tickets.assign(1, 0);
  uint64_t work = 0;
  for (uint32_t i = 0; i < shrinks.size(); ++i) {
    work += static_cast<uint64_t>(shrinks[i].k) * shrinks[i].rows;
    if (work >= kShrinkTicket || i + 1 == shrinks.size()) {
      shrink_tickets.push_back(i + 1);
      work = 0;
    }
  }
}

void FormScratch::prepare(const InputForm& form, uint32_t k, uint32_t rows, const float* input) {
  const auto grow = [](auto& buffer, size_t n) {
    if (buffer.size() < n) buffer.resize(n);
  };
  if (form.order) grow(ordered, static_cast<size_t>(rows) * k);
  x = form.order ? ordered.data() : input;
  if (form.group == 0) return;
  const uint32_t padded = (k + kBlockK - 1) / kBlockK * kBlockK, groups = (padded + form.group - 1) / form.group;
  const size_t code_bytes = static_cast<size_t>(rows) * padded;
  if (codes.bytes() < code_bytes) codes = AlignedBuffer(code_bytes);
  grow(scales, static_cast<size_t>(rows) * groups);
  grow(sums, static_cast<size_t>(rows) * groups);
  grow(scaled_sums, static_cast<size_t>(rows) * groups);
  quantized = {.codes = codes.as<int8_t>(),
               .scales = scales.data(),
               .sums = sums.data(),
               .scaled_sums = scaled_sums.data(),
               .stride = padded,
               .groups = groups,
               .group = form.group};
}

void FormScratch::fill(const InputForm& form, const Kernels& kernels, uint32_t k, const float* input, uint32_t row) {
  const size_t at = static_cast<size_t>(row) * k;
  if (form.order)
    for (uint32_t c = 0; c < k; ++c) ordered[at + c] = input[at + form.order[c]];
  if (form.group == 0) return;
  const size_t group = static_cast<size_t>(row) * quantized.groups;
  kernels.quantize_row(x + at, k, quantized.stride / kBlockK, form.group,
                       codes.as<int8_t>() + static_cast<size_t>(row) * quantized.stride, scales.data() + group,
                       sums.data() + group, scaled_sums.data() + group);
}

}  // namespace polygraft
