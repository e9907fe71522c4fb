// What the emulated tile registers do where the CPU would raise an exception.
#pragma once

#include <stdexcept>

namespace polygraft {

struct TileFault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Says so on stderr, for a kernel's thread ends by it, and throws TileFault.
[[noreturn]] void tile_fault(const char* what);

}  // namespace polygraft
