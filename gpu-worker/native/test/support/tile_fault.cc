#include "test/support/tile_fault.h"

#include <cstdio>

namespace polygraft {

void tile_fault(const char* what) {
  std::fprintf(stderr, "tile registers: %s\n", what);
  throw TileFault(what);
}

}  // namespace polygraft
