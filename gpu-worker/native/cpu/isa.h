// Which kernels this CPU can run.
#pragma once

#include <string>
#include <vector>

#include "cpu/kernels/kernels.h"

namespace polygraft {

struct KernelLevels {
  std::vector<const Kernels*> kernels;  // best first; "scalar" is always among them
  std::string warning;                  // why a level that the CPU has is not among them, or empty
};

// All that this CPU and operating system support. Found once in a process; takes some milliseconds.
const KernelLevels& kernel_levels();

// The kernels of `isa`, or the best if it is empty. Throws Error(PG_INVALID_ARGUMENT, "isa").
const Kernels& choose_kernels(const KernelLevels& levels, const std::string& isa);

// `base` with its linears of many rows replaced.
Kernels with_amx(const Kernels& base, const AmxKernels& amx, const char* isa);

// Puts `kernels` before the others if its linears return the same bits as those of the best of them, computed in a child
// process, so that a CPU or a hypervisor that does not do what it says costs this level and not the worker. Else the
// warning says what happened.
void add_if_correct(KernelLevels& levels, const Kernels& kernels);

}  // namespace polygraft
