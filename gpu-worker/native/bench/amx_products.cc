// Compiled with AMX's flags, alone.
#define PG_ISA amx_products_loop
#include "bench/amx_products.h"

#include "cpu/kernels/kernels.h"
#include "cpu/simd/tiles.h"

namespace polygraft {

void amx_products(int turns) {
  using namespace PG_ISA;
  TileConfig config;
  for (int tile = 0; tile < kTileRegisters; ++tile) {
    config.rows[tile] = 16;
    config.row_bytes[tile] = 64;
  }
  configure_tiles(config);
  for (int i = 0; i < turns; ++i) {
    dot_tiles<0, 4, 5>();
    dot_tiles<1, 4, 5>();
    dot_tiles<2, 4, 5>();
    dot_tiles<3, 4, 5>();
  }
  release_tiles();
}

}  // namespace polygraft
