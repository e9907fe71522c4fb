// What one thread of this machine can do at most, measured: the yardstick for kernels.
#pragma once

#include <cstddef>
#include <string>

namespace polygraft {

struct MachineLimits {
  // 10^9 multiplications and additions a second on values that stay in registers. 0: the instruction set has none.
  double int8 = 0;   // dot products of int8, with the instructions that kernels of this instruction set use
  double int16 = 0;  // likewise of int16
  double f32 = 0;   // fused multiply-adds
  double bf16 = 0;  // dot products of bf16 (AVX512-BF16)

  // 10^9 bytes a second read from a working set that fits in the second cache, in the last one, or in neither.
  double l2 = 0, l3 = 0, memory = 0;
  size_t l2_bytes = 0, l3_bytes = 0;

  double bandwidth(size_t working_set) const;
  // Which cache `working_set` fits in: "L2", "L3" or "memory".
  const char* level(size_t working_set) const;
};

// `isa`: of a kernel table ("scalar", "avx2", "avx512vnni", "avx512amx"). Takes about a second.
MachineLimits measure_limits(const std::string& isa);

// 10^9 bytes a second that `threads` threads together read from memory.
double memory_bandwidth(unsigned threads);

}  // namespace polygraft
