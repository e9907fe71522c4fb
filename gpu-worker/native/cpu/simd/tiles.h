// AMX's tile registers and their product of signed bytes. Written in asm: GCC 12's intrinsics do not tell the compiler what
// they read, so it may move or drop the stores that a load of theirs needs, the configuration's among them.
//
// Registers belong to a thread. What is configured must be released before other code runs: live tiles are 8 KiB more for
// each context switch and signal frame, and they keep a core out of its deep sleep.
#pragma once

#include "cpu/simd/simd.h"
#include "cpu/simd/tile_config.h"

#if defined(PG_TILES)
#include PG_TILES  // tests: the same operations for a CPU that lacks them
#else

namespace polygraft::PG_ISA {
namespace {

// Gives the registers their shapes, and zeros them.
PG_INLINE void configure_tiles(const TileConfig& config) {
  asm volatile("ldtilecfg %0" : : "m"(config) : "memory");
}
PG_INLINE void release_tiles() { asm volatile("tilerelease" : : : "memory"); }

template <int kTile>
PG_INLINE void zero_tile() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
// Rows from `p` on, `stride` bytes apart.
template <int kTile>
PG_INLINE void load_tile(const int8_t* p, size_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
PG_INLINE void store_tile(int32_t* p, size_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(p), "r"(stride), "i"(kTile) : "memory");
}
// sums[m][n] += Σ_k x[m][k] w[k][n] over signed bytes; a row of w holds 4 k of each column side by side.
template <int kSums, int kX, int kW>
PG_INLINE void dot_tiles() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kX), "i"(kW));
}

}  // namespace
}  // namespace polygraft::PG_ISA

#endif
