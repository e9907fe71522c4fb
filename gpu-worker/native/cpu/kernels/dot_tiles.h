// Sixteen columns of a quantized matrix times many int8 rows, by AMX: sixteen rows x one group at a time, so that integer
// sums are exact as in dot_int8.h, and then the same operations on floats in the same order.
#pragma once

#include "cpu/kernels/dot_int8.h"
#include "cpu/simd/tiles.h"

namespace polygraft::PG_ISA {
namespace {

inline constexpr uint32_t kRegisterRows = 16;  // of a tile register
inline constexpr uint32_t kRegisterK = 64;     // bytes of its row

// Two registers of each kind, taken in turn: the products of a group need not wait until the sums before it are stored.
inline constexpr int kSumTiles = 0, kRowTiles = 2, kWeightTiles = 4;

// k of the weights that are unpacked at once. These 16 KiB, 16 rows of that length and the sums fit in the first cache.
inline constexpr uint32_t kPanelK = 1024;

// Shapes the tile registers for groups of `group`; release_tiles() must follow. (An object whose destructor did that would
// bring the symbols of exception handling into the kernel's object file.)
PG_INLINE void take_tiles(uint32_t group) {
  const uint32_t k = group < kRegisterK ? group : kRegisterK;
  TileConfig config;
  const auto shape = [&](int tile, uint32_t rows, uint32_t row_bytes) {
    config.rows[tile] = static_cast<uint8_t>(rows);
    config.row_bytes[tile] = static_cast<uint16_t>(row_bytes);
  };
  for (int i = 0; i < 2; ++i) {
    shape(kSumTiles + i, kRegisterRows, 4 * kLanes);
    shape(kRowTiles + i, kRegisterRows, k);
    shape(kWeightTiles + i, k / 4, 4 * kLanes);
  }
  configure_tiles(config);
}

// Weights first_k..last_k of a tile as signed bytes in W8's order, which is that of the register: [k/4][16 columns][4].
template <class Groups>
PG_INLINE const int8_t* unpack(const TileMatrix& w, uint32_t tile, const int8_t* table, uint32_t first_k,
                               uint32_t last_k, int8_t* panel) {
  const uint8_t* codes = w.codes + tile * w.code_stride + static_cast<size_t>(first_k) * kLanes / (Groups::kNibbles ? 2 : 1);
  if constexpr (Groups::kNibbles) {
    int8_t* out = panel;
    for (uint32_t k = first_k; k < last_k; k += kBlockK, codes += kSlabBytes, out += 2 * kSlabBytes) {
      prefetch_slab(codes);
#pragma GCC unroll 8
      for (size_t at = 0; at < kSlabBytes; at += 64) {
        store_weights(typename Groups::template Codes<false>{}, codes + at, table, out + at);
        store_weights(typename Groups::template Codes<true>{}, codes + at, table, out + kSlabBytes + at);
      }
    }
    return panel;
  } else {
    return reinterpret_cast<const int8_t*>(codes);  // W8 is there already
  }
}

// Sixteen rows from `row` over first_k..last_k, whose weights `panel` has; out[16][16] holds the sums before first_k.
template <class Groups, uint32_t kGroup>
void dot_rows(const TileMatrix& w, uint32_t tile, const int8_t* panel, uint32_t first_k, uint32_t last_k,
              const QuantizedRows& x, uint32_t row, float* out) {
  const uint16_t* scales = w.scales + tile * w.scale_stride;
  const int8_t* xq = x.codes + static_cast<size_t>(row) * x.stride;
  const size_t groups = x.groups;
  const float* xd = x.scales + row * groups;
  const float* xds = x.scaled_sums + row * groups;
  alignas(64) int32_t sums[2][kRegisterRows * kLanes];
  const auto sum_group = [&]<int kTurn>(Count<kTurn>, uint32_t k) __attribute__((always_inline)) {
    const uint32_t end = k + kGroup < last_k ? k + kGroup : last_k;
    zero_tile<kSumTiles + kTurn>();
    for (; k < end; k += kGroup < kRegisterK ? kGroup : kRegisterK) {
      load_tile<kRowTiles + kTurn>(xq + k, x.stride);
      load_tile<kWeightTiles + kTurn>(panel + static_cast<size_t>(k - first_k) * kLanes, 4 * kLanes);
      dot_tiles<kSumTiles + kTurn, kRowTiles + kTurn, kWeightTiles + kTurn>();
    }
    store_tile<kSumTiles + kTurn>(sums[kTurn], 4 * kLanes);
  };
  f32x16 y[kRegisterRows];
#pragma GCC unroll 16
  for (uint32_t m = 0; m < kRegisterRows; ++m) y[m] = first_k == 0 ? zero() : load(out + m * kLanes);
  const auto finish_group = [&](uint32_t k, const int32_t* sum) __attribute__((always_inline)) {
    const size_t g = k / kGroup;
    const auto ws = Groups::load_scales(scales + g * Groups::kScaleStep);
#pragma GCC unroll 16
    for (uint32_t m = 0; m < kRegisterRows; ++m) {
      const size_t at = m * groups + g;
      y[m] = Groups::apply(ws, to_f32(load_i32(sum + m * kLanes)), set1(xd[at]), set1(xds[at]), y[m]);
    }
  };
  for (uint32_t k = first_k; k < last_k; k += 2 * kGroup) {
    const bool both = k + kGroup < last_k;
    sum_group(Count<0>{}, k);
    if (both) sum_group(Count<1>{}, k + kGroup);
    finish_group(k, sums[0]);
    if (both) finish_group(k + kGroup, sums[1]);
  }
#pragma GCC unroll 16
  for (uint32_t m = 0; m < kRegisterRows; ++m) store(out + m * kLanes, y[m]);
}

// `rows` rows, sixteen or more, from `first_row`. The last sixteen are computed together even where the ones before them
// overlap: a row's bits do not depend on its neighbours. out[kMaxTileRows][16].
template <class Groups, uint32_t kGroup>
void dot_rows_of_tile(const TileMatrix& w, uint32_t tile, const QuantizedRows& x, uint32_t first_row, uint32_t rows,
                      float* out) {
  static_assert(kMaxTileRows % kRegisterRows == 0, "the last rows' results would not fit behind the others");
  const Nf4Bytes table = nf4_bytes();
  alignas(64) int8_t panel[kPanelK * kLanes];
  const uint32_t padded = w.blocks * kBlockK;
  for (uint32_t k = 0; k < padded; k += kPanelK) {
    const uint32_t end = k + kPanelK < padded ? k + kPanelK : padded;
    const int8_t* weights = unpack<Groups>(w, tile, table.value, k, end, panel);
    for (uint32_t m = 0; m < rows; m += kRegisterRows) {
      const uint32_t row = m + kRegisterRows <= rows ? m : rows - kRegisterRows;
      dot_rows<Groups, kGroup>(w, tile, weights, k, end, x, first_row + row, out + m * kLanes);
    }
  }
  const uint32_t last = (rows - 1) / kRegisterRows * kRegisterRows;
  if (last + kRegisterRows > rows)
    __builtin_memmove(out + (rows - kRegisterRows) * kLanes, out + last * kLanes,
                      kRegisterRows * kLanes * sizeof(float));
}

template <class Groups>
void dot_rows_of_groups(const TileMatrix& w, uint32_t tile, const QuantizedRows& x, uint32_t first_row, uint32_t rows,
                        float* out) {
  switch (w.group) {
    case 32: return dot_rows_of_tile<Groups, 32>(w, tile, x, first_row, rows, out);
    case 64: return dot_rows_of_tile<Groups, 64>(w, tile, x, first_row, rows, out);
    default: return dot_rows_of_tile<Groups, 128>(w, tile, x, first_row, rows, out);
  }
}

}  // namespace
}  // namespace polygraft::PG_ISA
