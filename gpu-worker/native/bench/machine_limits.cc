#include "bench/machine_limits.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "bench/amx_products.h"
#include "cpu/aligned_buffer.h"

namespace polygraft {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Keeps the compiler from leaving out what nobody reads.
template <class T>
void use(const T& value) {
  asm volatile("" : : "r"(&value) : "memory");
}

// The best of some runs of `step`, which does `work` (10^9 units): units a second.
template <class Step>
double best_rate(double work, int runs, const Step& step) {
  double best = 0;
  for (int run = 0; run < runs; ++run) {
    const auto start = Clock::now();
    step();
    best = std::max(best, work / seconds_since(start));
  }
  return best;
}

constexpr int kLoops = 200'000, kRuns = 15;
constexpr int kChains = 12;  // enough independent sums to hide the latency of any of these instructions

#if defined(__x86_64__)
// One instruction for each of kChains sums, kLoops times. `asm` keeps each sum in its register and in the loop. Written out
// by hand: an array of sums would live in memory.
#define PG_EACH(m) m(s0) m(s1) m(s2) m(s3) m(s4) m(s5) m(s6) m(s7) m(s8) m(s9) m(s10) m(s11)
#define PG_PEAK(name, isa_target, vector, zero, in_register, step)                                                     \
  __attribute__((target(isa_target))) void name() {                                                                    \
    vector w = zero, x = zero, s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero, s6 = zero, s7 = zero; \
    vector s8 = zero, s9 = zero, s10 = zero, s11 = zero;                                                               \
    asm volatile("" : "+" in_register(w), "+" in_register(x));                                                         \
    for (int i = 0; i < kLoops; ++i) {                                                                                 \
      PG_EACH(step)                                                                                                    \
    }                                                                                                                  \
  }
#define PG_DPBUSD(s) s = _mm512_dpbusd_epi32(s, w, x); asm volatile("" : "+v"(s));
#define PG_DPWSSD(s) s = _mm512_dpwssd_epi32(s, w, x); asm volatile("" : "+v"(s));
#define PG_MADD16(s) s = _mm256_add_epi32(s, _mm256_madd_epi16(w, x)); asm volatile("" : "+x"(s), "+x"(x));
#define PG_FMA512(s) s = _mm512_fmadd_ps(w, x, s); asm volatile("" : "+v"(s));
#define PG_FMA256(s) s = _mm256_fmadd_ps(w, x, s); asm volatile("" : "+x"(s));
#define PG_MADDUBS(s) s = _mm256_add_epi16(s, _mm256_maddubs_epi16(w, x)); asm volatile("" : "+x"(s), "+x"(x));
#define PG_DPBF16(s) s = _mm512_dpbf16_ps(s, (__m512bh)w, (__m512bh)x); asm volatile("" : "+v"(s));
PG_PEAK(int8_vnni, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), "v", PG_DPBUSD)
PG_PEAK(int16_vnni, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), "v", PG_DPWSSD)
PG_PEAK(int16_avx2, "avx2", __m256i, _mm256_setzero_si256(), "x", PG_MADD16)
PG_PEAK(f32_avx512, "avx512f", __m512, _mm512_setzero_ps(), "v", PG_FMA512)
PG_PEAK(bf16_avx512, "avx512f,avx512bf16", __m512, _mm512_setzero_ps(), "v", PG_DPBF16)
PG_PEAK(f32_avx2, "avx2,fma", __m256, _mm256_setzero_ps(), "x", PG_FMA256)
PG_PEAK(int8_avx2, "avx2", __m256i, _mm256_setzero_si256(), "x", PG_MADDUBS)
#undef PG_EACH
#undef PG_PEAK
#undef PG_DPBUSD
#undef PG_DPWSSD
#undef PG_MADD16
#undef PG_FMA512
#undef PG_FMA256
#undef PG_MADDUBS
#undef PG_DPBF16
#endif

// Work of a peak loop whose instruction does `operations`, in 10^9.
constexpr double loop_work(double operations) { return 1e-9 * kLoops * kChains * operations; }

uint64_t read_scalar(const uint64_t* p, size_t words) {
  uint64_t sum[8] = {};
  for (size_t i = 0; i + 8 <= words; i += 8) {
    __builtin_prefetch(p + i + 256);
    for (size_t j = 0; j < 8; ++j) sum[j] += p[i + j];
  }
  return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}
#if defined(__x86_64__)
__attribute__((target("avx2"))) uint64_t read_avx2(const uint64_t* p, size_t words) {
  __m256i sum[4] = {};
  for (size_t i = 0; i + 16 <= words; i += 16) {
    __builtin_prefetch(p + i + 256);
    __builtin_prefetch(p + i + 264);
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; ++j)
      sum[j] = _mm256_xor_si256(sum[j], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i) + j));
  }
  use(sum);
  return 0;
}
#endif

uint64_t read(const uint64_t* p, size_t words) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return read_avx2(p, words);
#endif
  return read_scalar(p, words);
}

double read_bandwidth(size_t bytes) {
  const AlignedBuffer buffer(bytes);
  auto* data = buffer.as<uint64_t>();
  std::fill_n(data, bytes / 8, 1);
  const int repeats = static_cast<int>(std::max<size_t>(1, (size_t{64} << 20) / bytes));
  return best_rate(1e-9 * static_cast<double>(bytes) * repeats, kRuns, [&] {
    for (int i = 0; i < repeats; ++i) use(read(data, bytes / 8));
  });
}

constexpr size_t kFromMemory = size_t{256} << 20;  // more than any last-level cache share worth the name

// Of the first CPU's unified cache of a level. Not sysconf(), whose third level is that of the whole machine.
size_t cache_bytes(int level, size_t otherwise) {
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(level) + "/size");
  size_t kilobytes = 0;
  return file >> kilobytes && kilobytes > 0 ? kilobytes << 10 : otherwise;
}

}  // namespace

double MachineLimits::bandwidth(size_t working_set) const {
  return working_set <= l2_bytes ? l2 : working_set <= l3_bytes ? l3 : memory;
}
const char* MachineLimits::level(size_t working_set) const {
  return working_set <= l2_bytes ? "L2" : working_set <= l3_bytes ? "L3" : "memory";
}

MachineLimits measure_limits(const std::string& isa) {
  MachineLimits limits;
#if defined(__x86_64__)
  if (isa == "avx512vnni" || isa == "avx512amx") {
    limits.int8 = best_rate(loop_work(128), kRuns, int8_vnni);
#if defined(PG_AMX)
    if (isa == "avx512amx") limits.int8 = best_rate(1e-9 * kLoops * kAmxOperations, kRuns, [] { amx_products(kLoops); });
#endif
    limits.int16 = best_rate(loop_work(64), kRuns, int16_vnni);
    limits.f32 = best_rate(loop_work(32), kRuns, f32_avx512);
    if (__builtin_cpu_supports("avx512bf16")) limits.bf16 = best_rate(loop_work(64), kRuns, bf16_avx512);
  } else if (isa == "avx2") {
    limits.int8 = best_rate(loop_work(64), kRuns, int8_avx2);
    limits.int16 = best_rate(loop_work(32), kRuns, int16_avx2);
    limits.f32 = best_rate(loop_work(16), kRuns, f32_avx2);
  }
#endif
  limits.l2_bytes = cache_bytes(2, size_t{1} << 20);
  limits.l3_bytes = cache_bytes(3, size_t{16} << 20);
  limits.l2 = read_bandwidth(limits.l2_bytes / 2);
  limits.l3 = read_bandwidth(std::max(limits.l3_bytes / 4, 2 * limits.l2_bytes));
  limits.memory = memory_bandwidth(1);
  return limits;
}

double memory_bandwidth(unsigned threads) {
  const AlignedBuffer buffer(kFromMemory);
  auto* data = buffer.as<uint64_t>();
  const size_t words = kFromMemory / 8 / threads;
  std::fill_n(data, words * threads, 1);
  constexpr int kReads = 8;
  double best = 0;
  auto start = Clock::now();
  int phase = 0;
  // All threads read a share; the time counts from when all begin to when the last one ends.
  std::barrier barrier(threads, [&]() noexcept {
    if (phase++ > 0) {
      const double bytes = 8.0 * static_cast<double>(words * threads);
      best = std::max(best, 1e-9 * bytes / seconds_since(start));
    }
    start = Clock::now();
  });
  std::vector<std::thread> readers;
  for (unsigned t = 0; t < threads; ++t)
    readers.emplace_back([&, t] {
      for (int i = 0; i < kReads; ++i) {
        barrier.arrive_and_wait();
        use(read(data + t * words, words));
      }
      barrier.arrive_and_wait();
    });
  for (std::thread& reader : readers) reader.join();
  return best;
}

}  // namespace polygraft
