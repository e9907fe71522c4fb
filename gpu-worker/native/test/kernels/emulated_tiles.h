// The operations of cpu/simd/tiles.h in plain C++, for a CPU without AMX: what Intel's SDM (volumes 1 and 2, "AMX")
// defines them to do, with a fault wherever the CPU would raise #GP or #UD. No std:: templates and no inline functions of
// external linkage: this is compiled into kernels of several instruction sets (see cpu/simd/simd.h).
#pragma once

#include "test/support/tile_fault.h"

namespace polygraft::PG_ISA {
namespace {

struct TileState {
  bool configured = false;
  TileConfig config;
  uint8_t data[kTileRegisters][16][64];
};
thread_local TileState tile_state;

void need(bool condition, const char* what) {
  if (!condition) tile_fault(what);
}

void release_tiles() {
  tile_state.configured = false;
  tile_state.config.palette = 0;
}

void configure_tiles(const TileConfig& config) {
  if (config.palette == 0) return release_tiles();
  need(config.palette == 1, "ldtilecfg: palette is not 0 or 1");
  need(config.start_row == 0, "ldtilecfg: emulated with start_row 0 only");
  for (const uint8_t byte : config.reserved) need(byte == 0, "ldtilecfg: a reserved byte is set");
  for (int t = 0; t < 16; ++t) {
    const uint32_t rows = config.rows[t], row_bytes = config.row_bytes[t];
    need(t < kTileRegisters || (rows == 0 && row_bytes == 0), "ldtilecfg: a register beyond the eighth has a shape");
    need(rows <= 16, "ldtilecfg: more than 16 rows");
    need(row_bytes <= 64, "ldtilecfg: more than 64 bytes in a row");
    need((rows == 0) == (row_bytes == 0), "ldtilecfg: rows without bytes, or bytes without rows");
  }
  tile_state.configured = true;
  tile_state.config = config;
  __builtin_memset(tile_state.data, 0, sizeof tile_state.data);
}

// The register's shape, which must be configured.
struct TileShape {
  uint32_t rows, row_bytes;
};
TileShape shape_of(int tile) {
  need(tile_state.configured, "used before ldtilecfg");
  need(tile >= 0 && tile < kTileRegisters, "no such register");
  const TileShape shape = {tile_state.config.rows[tile], tile_state.config.row_bytes[tile]};
  need(shape.rows > 0, "the register has no shape");
  return shape;
}

template <int kTile>
void zero_tile() {
  shape_of(kTile);
  __builtin_memset(tile_state.data[kTile], 0, sizeof tile_state.data[kTile]);
}

template <int kTile>
void load_tile(const int8_t* p, size_t stride) {
  const TileShape shape = shape_of(kTile);
  __builtin_memset(tile_state.data[kTile], 0, sizeof tile_state.data[kTile]);
  for (uint32_t row = 0; row < shape.rows; ++row)
    __builtin_memcpy(tile_state.data[kTile][row], p + row * stride, shape.row_bytes);
}

template <int kTile>
void store_tile(int32_t* p, size_t stride) {
  const TileShape shape = shape_of(kTile);
  for (uint32_t row = 0; row < shape.rows; ++row)
    __builtin_memcpy(reinterpret_cast<uint8_t*>(p) + row * stride, tile_state.data[kTile][row], shape.row_bytes);
}

template <int kSums, int kX, int kW>
void dot_tiles() {
  const TileShape sums = shape_of(kSums), x = shape_of(kX), w = shape_of(kW);
  need(kSums != kX && kSums != kW && kX != kW, "tdpbssd: the same register twice");
  need(sums.row_bytes % 4 == 0 && x.row_bytes % 4 == 0 && w.row_bytes % 4 == 0, "tdpbssd: rows are not whole dwords");
  need(sums.rows == x.rows, "tdpbssd: sums and left side differ in rows");
  need(sums.row_bytes == w.row_bytes, "tdpbssd: sums and right side differ in columns");
  need(x.row_bytes / 4 == w.rows, "tdpbssd: both sides differ in k");
  auto& s = tile_state.data;
  for (uint32_t m = 0; m < sums.rows; ++m) {
    for (uint32_t n = 0; n < sums.row_bytes / 4; ++n) {
      uint32_t sum;
      __builtin_memcpy(&sum, &s[kSums][m][4 * n], 4);
      for (uint32_t k = 0; k < w.rows; ++k)
        for (uint32_t i = 0; i < 4; ++i)
          sum += static_cast<uint32_t>(static_cast<int8_t>(s[kX][m][4 * k + i]) *
                                       static_cast<int8_t>(s[kW][k][4 * n + i]));
      __builtin_memcpy(&s[kSums][m][4 * n], &sum, 4);
    }
    __builtin_memset(&s[kSums][m][sums.row_bytes], 0, 64 - sums.row_bytes);
  }
  for (uint32_t m = sums.rows; m < 16; ++m) __builtin_memset(s[kSums][m], 0, 64);
}

}  // namespace
}  // namespace polygraft::PG_ISA
