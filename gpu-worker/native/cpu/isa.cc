#include "cpu/isa.h"

#if defined(PG_X86)
#include <cpuid.h>
#endif

#include "model/error.h"

namespace polygraft {
#if defined(PG_X86)
namespace {

// Conversion of fp16. Asked of the CPU itself: clang's __builtin_cpu_supports does not know the name.
bool has_f16c() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

}  // namespace
#endif

std::vector<const Kernels*> supported_kernels() {
  std::vector<const Kernels*> kernels;
#if defined(PG_X86)
  // These builtins also ask the operating system (xgetbv) whether it saves the wide registers.
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vnni");
  if (avx512) kernels.push_back(&kKernelsAvx512Vnni);
  if (avx2) kernels.push_back(&kKernelsAvx2);
#endif
  kernels.push_back(&kKernelsScalar);
  return kernels;
}

const Kernels& choose_kernels(const std::string& isa) {
  const auto kernels = supported_kernels();
  if (isa.empty()) return *kernels.front();
  std::string names;
  for (const Kernels* k : kernels) {
    if (isa == k->isa) return *k;
    names += (names.empty() ? "" : ", ") + std::string(k->isa);
  }
  throw Error(PG_INVALID_ARGUMENT, "isa", "this CPU does not run \"" + isa + "\" kernels; it runs: " + names);
}

}  // namespace polygraft
