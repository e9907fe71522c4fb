// Whether kernels that never ran on this machine compute what others do.
#pragma once

#include <string>

#include "cpu/kernels/kernels.h"

namespace polygraft {

// Small linears of each scheme and group size, random but the same each time. What the first one was whose bits differ from
// the reference's ("W4 in groups of 32, 29 rows, ..."), or empty. Takes about a millisecond.
std::string first_wrong_linear(const Kernels& kernels, const Kernels& reference);

}  // namespace polygraft
