// The linears of many rows by AMX; few rows go to the kernels of PG_FEW_ROWS, which the build names. Thresholds follow
// measurements of a prototype (Granite Rapids, W4 g64): 16 rows ran 1.4 times as fast by AMX as by VNNI, and 8 rows, half
// of whose registers would be empty, 0.8 times.
#include "cpu/kernels/kernels.h"

#include "cpu/kernels/dot_tiles.h"
#include "cpu/kernels/linear_finish.h"

namespace polygraft {

extern const Kernels PG_FEW_ROWS;

namespace PG_ISA {
namespace {

constexpr uint32_t kFewRest = 8;  // rows left over by sixteens that are worth no register of their own

void product_of_many_rows(const LinearTile& args, const TileOperand& operand, float* out) {
  const TileMatrix& w = *operand.matrix;
  const QuantizedRows& x = *operand.quantized;
  const uint32_t tile = operand.tile;
  take_tiles(w.group);
  switch (w.scheme) {
    case Scheme::kW4: dot_rows_of_groups<AffineGroups>(w, tile, x, args.first_row, args.rows, out); break;
    case Scheme::kNf4: dot_rows_of_groups<TableGroups>(w, tile, x, args.first_row, args.rows, out); break;
    case Scheme::kW8: dot_rows_of_groups<SymmetricGroups>(w, tile, x, args.first_row, args.rows, out); break;
    case Scheme::kF32: break;  // has no quantized rows
  }
  release_tiles();
}

void linear_tile(const LinearTile& args) {
  const bool paired = args.epilogue == TileEpilogue::kSwiGlu;
  const bool quantized = args.operands[0].quantized && (!paired || args.operands[1].quantized);
  if (!quantized || args.rows < kRegisterRows) return PG_FEW_ROWS.linear_tile(args);
  const uint32_t left_over = args.rows % kRegisterRows, few = left_over <= kFewRest ? left_over : 0;
  LinearTile part = args;
  part.rows = args.rows - few;
  finish_linear(part, product_of_many_rows);
  if (few == 0) return;
  part.first_row = args.first_row + part.rows;
  part.rows = few;
  PG_FEW_ROWS.linear_tile(part);
}

}  // namespace
}  // namespace PG_ISA

#if !defined(PG_KERNELS)
#define PG_KERNELS kKernelsAmx
#endif
extern const AmxKernels PG_KERNELS = {.linear_tile = PG_ISA::linear_tile};

}  // namespace polygraft
