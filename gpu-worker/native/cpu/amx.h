// Whether this process may use AMX's tile registers and their int8 products.
#pragma once

namespace polygraft {

// Asks the CPU, and then the system for leave, which it wants asked for once in a process: the registers make each
// thread's saved state 8 KiB larger. False wherever either says no, and in builds without AMX.
bool take_amx();

}  // namespace polygraft
