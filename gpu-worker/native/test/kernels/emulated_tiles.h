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

// None is inlined: with sanitizers compilers would take minutes over so many copies.
#define PG_OUT_OF_LINE __attribute__((noinline))

PG_OUT_OF_LINE void need(bool condition, const char* what) {
  if (!condition) tile_fault(what);
}

PG_OUT_OF_LINE void release_tiles() {
  tile_state.configured = false;
  tile_state.config.palette = 0;
}

PG_OUT_OF_LINE void configure_tiles(const TileConfig& config) {
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
PG_OUT_OF_LINE TileShape shape_of(int tile) {
  need(tile_state.configured, "used before ldtilecfg");
  need(tile >= 0 && tile < kTileRegisters, "no such register");
  const TileShape shape = {tile_state.config.rows[tile], tile_state.config.row_bytes[tile]};
  need(shape.rows > 0, "the register has no shape");
  return shape;
}

PG_OUT_OF_LINE void emulate_zero(int tile) {
  shape_of(tile);
  __builtin_memset(tile_state.data[tile], 0, sizeof tile_state.data[tile]);
}

PG_OUT_OF_LINE void emulate_load(int tile, const int8_t* p, size_t stride) {
  const TileShape shape = shape_of(tile);
  emulate_zero(tile);
  for (uint32_t row = 0; row < shape.rows; ++row)
    __builtin_memcpy(tile_state.data[tile][row], p + row * stride, shape.row_bytes);
}

PG_OUT_OF_LINE void emulate_store(int tile, int32_t* p, size_t stride) {
  const TileShape shape = shape_of(tile);
  for (uint32_t row = 0; row < shape.rows; ++row)
    __builtin_memcpy(reinterpret_cast<uint8_t*>(p) + row * stride, tile_state.data[tile][row], shape.row_bytes);
}

PG_OUT_OF_LINE void emulate_dot(int sums_tile, int x_tile, int w_tile) {
  const TileShape sums = shape_of(sums_tile), x = shape_of(x_tile), w = shape_of(w_tile);
  need(sums_tile != x_tile && sums_tile != w_tile && x_tile != w_tile, "tdpbssd: the same register twice");
  need(sums.row_bytes % 4 == 0 && x.row_bytes % 4 == 0 && w.row_bytes % 4 == 0, "tdpbssd: rows are not whole dwords");
  need(sums.rows == x.rows, "tdpbssd: sums and left side differ in rows");
  need(sums.row_bytes == w.row_bytes, "tdpbssd: sums and right side differ in columns");
  need(x.row_bytes / 4 == w.rows, "tdpbssd: both sides differ in k");
  for (uint32_t m = 0; m < 16; ++m) {
    uint8_t(&row)[64] = tile_state.data[sums_tile][m];
    const auto& left = tile_state.data[x_tile][m];
    const uint32_t bytes = m < sums.rows ? sums.row_bytes : 0;
    for (uint32_t n = 0; n < bytes; n += 4) {
      uint32_t sum;
      __builtin_memcpy(&sum, row + n, 4);
      for (uint32_t k = 0; k < w.rows; ++k) {
        const uint8_t* right = tile_state.data[w_tile][k] + n;
        for (uint32_t i = 0; i < 4; ++i)
          sum += static_cast<uint32_t>(static_cast<int8_t>(left[4 * k + i]) * static_cast<int8_t>(right[i]));
      }
      __builtin_memcpy(row + n, &sum, 4);
    }
    __builtin_memset(row + bytes, 0, 64 - bytes);
  }
}

template <int kTile>
PG_INLINE void zero_tile() {
  emulate_zero(kTile);
}
template <int kTile>
PG_INLINE void load_tile(const int8_t* p, size_t stride) {
  emulate_load(kTile, p, stride);
}
template <int kTile>
PG_INLINE void store_tile(int32_t* p, size_t stride) {
  emulate_store(kTile, p, stride);
}
template <int kSums, int kX, int kW>
PG_INLINE void dot_tiles() {
  emulate_dot(kSums, kX, kW);
}

}  // namespace
}  // namespace polygraft::PG_ISA
