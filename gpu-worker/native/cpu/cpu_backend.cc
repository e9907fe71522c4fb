#include "cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>

#include "cpu/isa.h"
#include "model/error.h"

namespace polygraft {
namespace {

const CpuModel& cpu_model(const DeviceModel& model) { return static_cast<const CpuModel&>(model); }

struct CpuBuffer : DeviceBuffer {
  explicit CpuBuffer(size_t floats) : memory(floats * sizeof(float)) {}
  float* data() override { return memory.as<float>(); }
  AlignedBuffer memory;
};

// Items a ticket, so that it has about `target` of work where one item has `work`, and threads still share.
uint32_t ticket_items(uint64_t work, uint64_t target, uint32_t items, uint32_t threads) {
  const uint64_t by_work = std::max<uint64_t>(1, target / std::max<uint64_t>(1, work));
  const uint64_t by_share = std::max<uint64_t>(1, items / (4 * threads));
  return static_cast<uint32_t>(std::min(by_work, by_share));
}
KvType kv_type(pg_kv_type type) {
  return type == PG_KV_F32 ? KvType::kF32 : type == PG_KV_INT8 ? KvType::kInt8 : KvType::kF16;
}
uint32_t divide_up(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

constexpr uint64_t kRowTicket = 16'384;        // floats of a ticket of a row op: about 5 microseconds
constexpr uint32_t kRopeRows = 16;             // rows of a ticket of rotary embedding
constexpr uint32_t kFetchedFirst = 2048;       // bytes of an adapter's A asked for before they are needed
constexpr uint64_t kLinearTicket = 1'000'000;  // multiply-adds of a ticket of a linear: about 10 microseconds

}  // namespace

std::unique_ptr<Backend> create_cpu_backend(const BackendOptions& options) {
  const KernelLevels& levels = kernel_levels();
  // Who names a level has not been denied another one.
  return std::make_unique<CpuBackend>(choose_kernels(levels, options.isa), options,
                                      options.isa.empty() ? levels.warning : std::string());
}

CpuBackend::CpuBackend(const Kernels& kernels, const BackendOptions& options, std::string warning)
    : kernels_(kernels),
      warning_(std::move(warning)),
      int8_(options.activations == PG_ACTIVATIONS_INT8),
      kv_type_(kv_type(options.kv)),
      int8_adapters_(options.adapters == PG_ADAPTER_INT8),
      pool_(options.threads) {}

std::unique_ptr<DeviceModel> CpuBackend::upload_model(const ModelConfig& config, ModelWeights weights,
                                                      const std::function<void(uint64_t, uint64_t)>& progress) {
  if (config.head_dim % 2 != 0 || config.head_dim == 0 || config.head_dim > kMaxHeadDim)
    throw Error(PG_UNIMPLEMENTED, "head_dim",
                "head_dim " + std::to_string(config.head_dim) + " is not served; it must be even and at most 256");
  return std::make_unique<CpuModel>(config, std::move(weights), int8_, pool_, progress);
}

std::unique_ptr<DeviceAdapter> CpuBackend::upload_adapter(const ModelConfig& config, const AdapterWeights& adapter) {
  return std::make_unique<CpuAdapter>(config, adapter, int8_adapters_);
}
uint64_t CpuBackend::adapter_bytes(const ModelConfig& config, const AdapterWeights& adapter) const {
  return packed_adapter_bytes(config, adapter, int8_adapters_);
}
uint64_t CpuBackend::kv_block_bytes(const ModelConfig& config) const {
  const KvLayout layout(config, kv_type_);
  return static_cast<uint64_t>(layout.block_bytes()) * layout.layers;
}
std::unique_ptr<KvPool> CpuBackend::create_kv_pool(const ModelConfig& config, uint32_t blocks) {
  return std::make_unique<CpuKvPool>(config, kv_type_, blocks);
}
std::unique_ptr<DeviceBuffer> CpuBackend::create_buffer(size_t floats) { return std::make_unique<CpuBuffer>(floats); }

void CpuBackend::embed(const DeviceModel& model, const StepBatch& batch, float* y) {
  const CpuModel& m = cpu_model(model);
  const uint32_t hidden = m.config.hidden_size, rows = batch.rows();
  const uint32_t step = ticket_items(hidden, kRowTicket, rows, pool_.threads());
  pool_.run(divide_up(rows, step), [&](uint32_t ticket) {
    for (uint32_t row = ticket * step; row < std::min(rows, (ticket + 1) * step); ++row)
      kernels_.embed_row(m.embedding().view(), batch.tokens[row], y + static_cast<size_t>(row) * hidden);
  });
}

void CpuBackend::rms_norm(const DeviceModel& model, uint32_t layer, int which, uint32_t rows, const float* x,
                          float* y) {
  const CpuModel& m = cpu_model(model);
  const uint32_t hidden = m.config.hidden_size;
  const float* weight = m.layers[layer].norms[static_cast<size_t>(which)].data();
  const uint32_t step = ticket_items(hidden, kRowTicket, rows, pool_.threads());
  pool_.run(divide_up(rows, step), [&](uint32_t ticket) {
    for (uint32_t row = ticket * step; row < std::min(rows, (ticket + 1) * step); ++row) {
      const size_t at = static_cast<size_t>(row) * hidden;
      kernels_.rms_norm_row(x + at, weight, hidden, m.config.rms_eps, y + at);
    }
  });
}

void CpuBackend::linear(const DeviceModel& model, const StepBatch& batch, const LinearArgs& args) {
  const CpuModel& m = cpu_model(model);
  const LinearOp& op = m.layers[args.layer].linears[static_cast<size_t>(args.group)];
  const bool paired = args.epilogue == Epilogue::kSwiGlu;
  prepare_forms(op, batch.rows(), args.x);
  plan_.build(op, args.layer, batch, {.x = args.x, .forms = forms_.data(), .row_step = row_step(op, batch.rows())},
              shrunk_, paired);
  size_t y_stride = 0;
  for (const TileRange& range : plan_.ranges) y_stride += range.n;
  const TileEpilogue epilogue = paired                             ? TileEpilogue::kSwiGlu
                                : args.epilogue == Epilogue::kAdd ? TileEpilogue::kAdd
                                                                   : TileEpilogue::kStore;
  run_linear(op, plan_, epilogue, args.x, batch.rows(), args.y, y_stride);
}

void CpuBackend::prepare_forms(const LinearOp& op, uint32_t rows, const float* x) {
  if (forms_.size() < op.forms.size()) forms_.resize(op.forms.size());
  for (size_t f = 0; f < op.forms.size(); ++f) forms_[f].prepare(op.forms[f], op.parts[0].matrix.k, rows, x);
}

uint32_t CpuBackend::row_step(const LinearOp& op, uint32_t rows) const {
  return ticket_items(op.parts[0].matrix.k, kRowTicket, rows, pool_.threads());
}

void CpuBackend::run_linear(const LinearOp& op, const LinearPlan& plan, TileEpilogue epilogue, const float* x,
                            uint32_t rows, float* y, size_t y_stride) {
  const uint32_t k = op.parts[0].matrix.k;

  // First: the input in each of its forms, and the rows of adapters shrunk. A ticket does both for its rows if there are
  // enough of them to keep all threads busy; else the shrinks are shared out by themselves.
  const auto pieces = static_cast<uint32_t>(plan.pieces.size());
  const bool by_piece = pieces >= 2 * pool_.threads();
  const auto shrink = [&](uint32_t first, uint32_t last) {
    for (uint32_t i = first; i < last; ++i) kernels_.shrink_tile(plan.shrinks[i]);
  };
  // The matrix that a ticket begins with comes from memory where rows are few; what it reads on is asked for by the
  // kernel, or by the CPU.
  const auto fetch_shrink = [&](uint32_t index) {
    if (index == pieces || plan.pieces[index].first_shrink == plan.pieces[index].last_shrink) return;
    const uint8_t* a = plan.shrinks[plan.pieces[index].first_shrink].a;
    for (uint32_t at = 0; at < kFetchedFirst; at += 64) __builtin_prefetch(a + at, 0, 2);
  };
  const auto prepare = [&](uint32_t index) {
    const RowPiece& piece = plan.pieces[index];
    if (by_piece) fetch_shrink(index), fetch_shrink(index + 1);
    for (size_t f = 0; f < op.forms.size(); ++f)
      for (uint32_t row = piece.first_row; row < piece.first_row + piece.rows; ++row)
        forms_[f].fill(op.forms[f], kernels_, k, x, row);
    if (by_piece) shrink(piece.first_shrink, piece.last_shrink);
  };
  const auto shrink_ticket = [&](uint32_t ticket) {
    shrink(plan.shrink_tickets[ticket], plan.shrink_tickets[ticket + 1]);
  };
  const uint32_t shrink_tickets = by_piece ? 0 : static_cast<uint32_t>(plan.shrink_tickets.size()) - 1;
  const auto needed = [](const InputForm& form) { return form.group != 0 || form.order; };
  uint32_t prepare_tickets = by_piece || std::ranges::any_of(op.forms, needed) ? pieces : 0;
  if (!by_piece && plan.shrinks_read_forms) {
    pool_.run(prepare_tickets, prepare);
    prepare_tickets = 0;
  }

  // Then: row blocks, and within one all columns, so that a block's activations stay in the cache.
  const bool paired = epilogue == TileEpilogue::kSwiGlu;
  uint32_t units = 0;  // a tile, or a pair of gate and up
  for (const TileRange& range : plan.ranges) units += range.tiles;
  const uint32_t row_blocks = divide_up(rows, kMaxTileRows);
  const uint64_t unit_work = static_cast<uint64_t>(k) * kLanes * (paired ? 2 : 1) * std::min(rows, kMaxTileRows);
  const uint32_t unit_step = ticket_items(unit_work, kLinearTicket, units * row_blocks, pool_.threads());
  const uint32_t tickets_per_block = divide_up(units, unit_step);
  const auto operand = [&](uint32_t p, uint32_t part_tile) -> TileOperand {
    const LinearPart& part = op.parts[p];
    const FormScratch& form = forms_[part.form];
    return {.matrix = &part.matrix,
            .tile = part.first_tile + part_tile * part.tile_step,
            .bias = part.bias.bytes() == 0 ? nullptr : part.bias.as<float>(),
            .quantized = op.forms[part.form].group == 0 ? nullptr : &form.quantized,
            .x = form.x,
            .spans = plan.spans[p].data(),
            .span_count = static_cast<uint32_t>(plan.spans[p].size())};
  };
  const auto multiply = [&](uint32_t ticket) {
    const uint32_t first_row = ticket / tickets_per_block * kMaxTileRows;
    const uint32_t first = ticket % tickets_per_block * unit_step, last = std::min(units, first + unit_step);
    size_t range_index = 0;
    uint32_t range_start = 0;
    for (uint32_t unit = first; unit < last; ++unit) {
      while (unit - range_start >= plan.ranges[range_index].tiles) range_start += plan.ranges[range_index++].tiles;
      const TileRange& range = plan.ranges[range_index];
      const uint32_t part_tile = unit - range_start;
      kernels_.linear_tile({.operands = {operand(range.part, part_tile),
                                         paired ? operand(range.part + 1, part_tile) : TileOperand{}},
                            .part_tile = part_tile,
                            .first_row = first_row,
                            .rows = std::min(kMaxTileRows, rows - first_row),
                            .epilogue = epilogue,
                            .y = y + range.output_offset + static_cast<size_t>(part_tile) * kLanes,
                            .y_stride = y_stride,
                            .columns = std::min(kLanes, range.n - part_tile * kLanes)});
    }
  };
  pool_.run_stages(prepare_tickets, prepare, shrink_tickets, shrink_ticket, row_blocks * tickets_per_block, multiply);
}

void CpuBackend::rope_and_store_kv(const DeviceModel& model, const StepBatch& batch, uint32_t layer, float* qkv,
                                   KvPool& kv) {
  const CpuModel& m = cpu_model(model);
  const ModelConfig& config = m.config;
  const CpuLayer& weights = m.layers[layer];
  const auto& pool = static_cast<CpuKvPool&>(kv);
  const size_t stride = config.q_dim() + 2 * config.kv_dim();
  uint32_t positions = 0;
  for (const SequenceSpan& s : batch.sequences) positions = std::max(positions, s.first_position + s.count);
  m.rope.reserve(positions);

  tickets_.clear();
  for (uint32_t s = 0; s < batch.sequences.size(); ++s)
    for (uint32_t row = 0; row < batch.sequences[s].count; row += kRopeRows) tickets_.push_back({s, row, 0, 0});

  std::byte* blocks = pool.layer(layer);
  pool_.run(static_cast<uint32_t>(tickets_.size()), [&](uint32_t index) {
    const SequenceTicket& ticket = tickets_[index];
    const SequenceSpan& sequence = batch.sequences[ticket.sequence];
    for (uint32_t i = ticket.row; i < std::min(sequence.count, ticket.row + kRopeRows); ++i) {
      const uint32_t position = sequence.first_position + i;
      float* row = qkv + (sequence.first_row + i) * stride;
      const uint32_t block = sequence.kv_blocks[position / kKvBlockTokens];
      kernels_.rope_row({.q = row,
                         .k = row + config.q_dim(),
                         .v = row + config.q_dim() + config.kv_dim(),
                         .heads = config.heads,
                         .kv_heads = config.kv_heads,
                         .head_dim = config.head_dim,
                         .cosines = m.rope.cosines(position),
                         .sines = m.rope.sines(position),
                         .q_norm = weights.q_norm.empty() ? nullptr : weights.q_norm.data(),
                         .k_norm = weights.k_norm.empty() ? nullptr : weights.k_norm.data(),
                         .eps = config.rms_eps,
                         .block = blocks + pool.layout.block_bytes() * block,
                         .head_stride = pool.layout.head_stride,
                         .value_offset = pool.layout.value_offset,
                         .scale_offset = pool.layout.scale_offset,
                         .value_stride = pool.layout.value_stride,
                         .slot = position % kKvBlockTokens,
                         .kv_type = kv_type_});
    }
  });
}

void CpuBackend::attention(const DeviceModel& model, const StepBatch& batch, uint32_t layer, const float* qkv,
                           const KvPool& kv, float* y) {
  const CpuModel& m = cpu_model(model);
  const ModelConfig& config = m.config;
  const auto& pool = static_cast<const CpuKvPool&>(kv);
  const size_t q_stride = config.q_dim() + 2 * config.kv_dim();
  const uint32_t group = config.heads / config.kv_heads;  // query heads of one KV head
  const uint32_t heads_step = std::min(group, kMaxQueries);
  const uint32_t rows_step = kMaxQueries / heads_step;

  tickets_.clear();
  for (uint32_t s = 0; s < batch.sequences.size(); ++s)
    for (uint32_t row = 0; row < batch.sequences[s].count; row += rows_step)
      for (uint32_t head = 0; head < config.kv_heads; ++head)
        for (uint32_t sub = 0; sub < group; sub += heads_step) tickets_.push_back({s, row, head, sub});

  const std::byte* blocks = pool.layer(layer);
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
  const auto head_keys = [&](const SequenceTicket& ticket) {
    return blocks + pool.layout.head_stride * ticket.kv_head * pool.layout.element_bytes;
  };
  // The block that a ticket begins with: where it comes from memory, the thread would wait for it.
  const auto first_keys = [&](const SequenceTicket& ticket) {
    const SequenceSpan& sequence = batch.sequences[ticket.sequence];
    const uint32_t position = sequence.first_position + ticket.row;
    const uint32_t window = config.sliding_window;
    const uint32_t oldest = window && position >= window ? position + 1 - window : 0;
    return head_keys(ticket) + pool.layout.block_bytes() * sequence.kv_blocks[oldest / kKvBlockTokens];
  };
  pool_.run(static_cast<uint32_t>(tickets_.size()), [&](uint32_t index) {
    const SequenceTicket& ticket = tickets_[index];
    const uint32_t following = index + 1;  // what this thread takes next, if nobody else did
    const SequenceSpan& sequence = batch.sequences[ticket.sequence];
    const size_t row = sequence.first_row + ticket.row;
    const size_t column = static_cast<size_t>(ticket.kv_head * group + ticket.sub_head) * config.head_dim;
    kernels_.attention_tile({.q = qkv + row * q_stride + column,
                             .y = y + row * config.q_dim() + column,
                             .q_stride = q_stride,
                             .y_stride = config.q_dim(),
                             .rows = std::min(rows_step, sequence.count - ticket.row),
                             .heads = std::min(heads_step, group - ticket.sub_head),
                             .head_dim = config.head_dim,
                             .first_position = sequence.first_position + ticket.row,
                             .window = config.sliding_window,
                             .scale = scale,
                             .blocks = sequence.kv_blocks.data(),
                             .following = following < tickets_.size() ? first_keys(tickets_[following]) : nullptr,
                             .kv = head_keys(ticket),
                             .block_stride = pool.layout.block_stride,
                             .value_offset = pool.layout.value_offset,
                             .scale_offset = pool.layout.scale_offset,
                             .value_stride = pool.layout.value_stride,
                             .kv_type = kv_type_});
  });
}

std::span<const float> CpuBackend::logits(const DeviceModel& model, const StepBatch& batch, const float* x) {
  const CpuModel& m = cpu_model(model);
  const uint32_t hidden = m.config.hidden_size, rows = static_cast<uint32_t>(batch.output_rows.size());
  const size_t vocab = m.config.vocab_size;
  if (rows == 0) return {};
  if (head_input_.size() < static_cast<size_t>(rows) * hidden) head_input_.resize(static_cast<size_t>(rows) * hidden);
  if (logits_.size() < rows * vocab) logits_.resize(rows * vocab);
  for (uint32_t i = 0; i < rows; ++i)
    kernels_.rms_norm_row(x + static_cast<size_t>(batch.output_rows[i]) * hidden, m.final_norm.data(), hidden,
                          m.config.rms_eps, head_input_.data() + static_cast<size_t>(i) * hidden);
  prepare_forms(m.head(), rows, head_input_.data());
  plan_.build(m.config.vocab_size, rows, row_step(m.head(), rows));
  run_linear(m.head(), plan_, TileEpilogue::kStore, head_input_.data(), rows, logits_.data(), vocab);
  return {logits_.data(), rows * vocab};
}

void CpuBackend::run_on_host(uint32_t count, const std::function<void(uint32_t i, uint32_t thread)>& task) {
  pool_.run(count, task);
}

void CpuBackend::copy_kv_block(KvPool& kv, uint32_t from, uint32_t to) {
  static_cast<CpuKvPool&>(kv).copy(from, to);
}

}  // namespace polygraft
