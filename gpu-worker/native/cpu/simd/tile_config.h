// The shapes of AMX's tile registers, as ldtilecfg reads them. Intel SDM volume 1, chapter 18.
#pragma once

#include <stdint.h>

namespace polygraft {

inline constexpr int kTileRegisters = 8;

struct alignas(64) TileConfig {
  uint8_t palette = 1;  // 1: eight registers of up to 16 rows of 64 bytes
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};  // of each register; those beyond the eighth must stay 0
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

}  // namespace polygraft
