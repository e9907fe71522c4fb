// All kernels for one instruction set. The build compiles this file once for each, with its own flags.
#include "cpu/kernels/kernels.h"

#include "cpu/kernels/attention.h"
#include "cpu/kernels/embed.h"
#include "cpu/kernels/linear.h"
#include "cpu/kernels/norm.h"
#include "cpu/kernels/quantize.h"
#include "cpu/kernels/rope.h"

namespace polygraft {

#define PG_STRINGIFY(name) #name
#define PG_NAME(name) PG_STRINGIFY(name)
#if defined(PG_KERNELS)
// The build names the table: tests that emulate an instruction set.
#elif defined(PG_ISA_avx512vnni)
#define PG_KERNELS kKernelsAvx512Vnni
#elif defined(PG_ISA_avx2)
#define PG_KERNELS kKernelsAvx2
#else
#define PG_KERNELS kKernelsScalar
#endif

extern const Kernels PG_KERNELS = {
    .isa = PG_NAME(PG_ISA),
    .quantize_row = PG_ISA::quantize_row,
    .linear_tile = PG_ISA::linear_tile,
    .shrink_tile = PG_ISA::shrink_tile,
    .embed_row = PG_ISA::embed_row,
    .rms_norm_row = PG_ISA::rms_norm_row,
    .rope_row = PG_ISA::rope_row,
    .attention_tile = PG_ISA::attention_tile,
};

}  // namespace polygraft
