#include "cpu/amx.h"

#if defined(PG_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace polygraft {

#if defined(PG_AMX)
namespace {

constexpr unsigned kOsXsave = 1u << 27;              // CPUID.1:ECX
constexpr unsigned kAmxTile = 1u << 24, kAmxInt8 = 1u << 25;  // CPUID.7.0:EDX
constexpr unsigned long kTileState = 3ul << 17;      // XCR0: TILECFG, TILEDATA
constexpr int kRequestPermission = 0x1023;           // arch_prctl: ARCH_REQ_XCOMP_PERM, Linux 5.16
constexpr unsigned long kTileData = 18;              // the state to ask for

// The states that the system saves and restores.
unsigned long enabled_states() {
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<unsigned long>(high) << 32 | low;
}

bool cpu_has_amx() {
  unsigned eax, ebx, ecx, edx;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & kOsXsave) == 0) return false;
  if ((enabled_states() & kTileState) != kTileState) return false;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & kAmxTile) == 0 || (edx & kAmxInt8) == 0) return false;
  // Palette 1 as the kernels count on it: eight registers of 16 rows of 64 bytes.
  if (__get_cpuid_count(0x1d, 1, &eax, &ebx, &ecx, &edx) == 0) return false;
  return (ebx >> 16) >= 8 && (ebx & 0xffff) >= 64 && (ecx & 0xffff) >= 16;
}

}  // namespace

bool take_amx() {
  static const bool taken = cpu_has_amx() && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return taken;
}
#else
bool take_amx() { return false; }
#endif

}  // namespace polygraft
