#include "cpu/isa.h"

#if defined(PG_X86)
#include <cpuid.h>
#endif

#include "cpu/amx.h"
#include "cpu/child_process.h"
#include "cpu/self_check.h"
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

Kernels with_amx(const Kernels& base, const AmxKernels& amx, const char* isa) {
  Kernels kernels = base;
  kernels.isa = isa;
  kernels.linear_tile = amx.linear_tile;
  return kernels;
}

void add_if_correct(KernelLevels& levels, const Kernels& kernels) {
  const Kernels& reference = *levels.kernels.front();
  const std::string failure = failure_in_child([&] { return first_wrong_linear(kernels, reference); });
  if (failure.empty()) {
    levels.kernels.insert(levels.kernels.begin(), &kernels);
  } else {
    levels.warning = std::string(kernels.isa) + " kernels are not used on this CPU, " + reference.isa +
                     " ones are: their self-check failed: " + failure;
  }
}

namespace {

KernelLevels find_levels() {
  KernelLevels levels;
  std::vector<const Kernels*>& kernels = levels.kernels;
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
#if defined(PG_AMX)
  if (avx512 && take_amx()) {
    static const Kernels amx = with_amx(kKernelsAvx512Vnni, kKernelsAmx, "avx512amx");
    add_if_correct(levels, amx);
  }
#endif
  return levels;
}

}  // namespace

const KernelLevels& kernel_levels() {
  static const KernelLevels levels = find_levels();
  return levels;
}

const Kernels& choose_kernels(const KernelLevels& levels, const std::string& isa) {
  if (isa.empty()) return *levels.kernels.front();
  std::string names;
  for (const Kernels* k : levels.kernels) {
    if (isa == k->isa) return *k;
    names += (names.empty() ? "" : ", ") + std::string(k->isa);
  }
  throw Error(PG_INVALID_ARGUMENT, "isa",
              "this CPU does not run \"" + isa + "\" kernels; it runs: " + names +
                  (levels.warning.empty() ? "" : " (" + levels.warning + ")"));
}

}  // namespace polygraft
