// The yardstick of AMX: nothing but products of full tile registers.
#pragma once

namespace polygraft {

// Multiplications and additions of one turn: four products of 16 x 64 by 64 x 16, into sums that do not wait for each other.
inline constexpr double kAmxOperations = 4 * 2.0 * 16 * 64 * 16;

// Only after take_amx() of cpu/amx.h.
void amx_products(int turns);

}  // namespace polygraft
