// The vector layer: sixteen lanes of f32 or i32, the same few operations in every instruction set.
//
// Kernels are written once over it and compiled once per instruction set, each time in a namespace of its own. The
// choice is made by the build: PG_ISA is the namespace, PG_ISA_<name> is defined. Everything here has internal linkage: an inline
// function with external linkage would be merged by the linker across instruction sets, and the survivor could contain
// instructions that the CPU lacks. For the same reason kernels call no std:: function templates.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if !defined(PG_INLINE)
#define PG_INLINE __attribute__((always_inline)) inline
#endif

#if defined(PG_ISA_avx512vnni)
#include "cpu/simd/avx512.h"
#elif defined(PG_ISA_avx2)
#include "cpu/simd/avx2.h"
#else
#include "cpu/simd/scalar.h"
#endif

namespace polygraft::PG_ISA {
namespace {

// A number of rows, to choose a function template by.
template <int>
struct Count {};

}  // namespace
}  // namespace polygraft::PG_ISA
