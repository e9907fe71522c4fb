// Which kernels this CPU can run.
#pragma once

#include <string>
#include <vector>

#include "cpu/kernels/kernels.h"

namespace polygraft {

// All that this CPU and operating system support, best first; "scalar" is always among them.
std::vector<const Kernels*> supported_kernels();

// The kernels of `isa`, or the best if it is empty. Throws Error(PG_INVALID_ARGUMENT, "isa").
const Kernels& choose_kernels(const std::string& isa);

}  // namespace polygraft
