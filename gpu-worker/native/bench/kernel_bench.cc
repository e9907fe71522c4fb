// How fast the CPU kernels are, one thread each: Gop/s of the quantized linear, time of attention, tax of adapters; and
// how near that is to what the machine could do, which is measured first.
//
//   kernel_bench [--json] [--isa NAME] [--filter TEXT]
//
// Times are the thread's own CPU time: the median of 31 runs, and beside it the best one, which a busy neighbour (who
// takes caches and clock) disturbs least. One operation is one multiplication or one addition: a linear of M rows has
// 2 M N K. "% of int8 peak": the best run beside one that does nothing but such products; "% of L3 bandwidth": beside one
// that only reads the weights. Named is the limit that is nearer.
#include <ctime>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bench/machine_limits.h"
#include "cpu/adapter_packing.h"
#include "cpu/cpu_kv_pool.h"
#include "cpu/isa.h"
#include "cpu/linear_plan.h"
#include "cpu/packing.h"

using namespace polygraft;

namespace {

struct Options {
  bool json = false;
  std::string isa, filter;
} options;

double thread_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

struct Seconds {
  double median, best;
};

// Seconds of a call, over runs of at least a millisecond.
Seconds measure(const std::function<void()>& call) {
  call();
  const double start = thread_seconds();
  call();
  const int calls = std::max(1, static_cast<int>(1e-3 / (thread_seconds() - start)));
  std::vector<double> runs;
  for (int run = 0; run < 31; ++run) {
    const double begin = thread_seconds();
    for (int i = 0; i < calls; ++i) call();
    runs.push_back((thread_seconds() - begin) / calls);
  }
  std::sort(runs.begin(), runs.end());
  return {runs[15], runs[0]};
}

// What keeps a kernel from being faster: `operations` (10^9) at `peak` a second, or reading `bytes`.
struct Floor {
  double operations, peak;
  const char* peak_name;
  size_t bytes;
};

// "72 % of int8 peak", or nothing if the limit is not known.
std::string share_of_limit(const MachineLimits& limits, const Floor& floor, Seconds seconds) {
  const double reading = 1e-9 * static_cast<double>(floor.bytes) / limits.bandwidth(floor.bytes);
  const double computing = floor.peak > 0 ? floor.operations / floor.peak : 0;
  if (computing == 0) return "";
  const std::string name =
      computing >= reading ? std::string(floor.peak_name) + " peak" : std::string(limits.level(floor.bytes)) + " bandwidth";
  return std::to_string(static_cast<int>(100 * std::max(computing, reading) / seconds.best + 0.5)) + " % of " + name;
}

// `work`: units of `unit` times seconds.
void report(const Kernels& kernels, const std::string& name, Seconds seconds, double work, const char* unit,
            const std::string& share = {}) {
  if (options.json)
    std::printf("{\"case\":\"%s\",\"isa\":\"%s\",\"us\":%.2f,\"best_us\":%.2f,\"rate\":%.2f,\"best_rate\":%.2f,\"unit\":\"%s\","
                "\"limit\":\"%s\"}\n",
                name.c_str(), kernels.isa, seconds.median * 1e6, seconds.best * 1e6, work / seconds.median,
                work / seconds.best, unit, share.c_str());
  else
    std::printf("%-42s %-10s %9.1f us (best %9.1f) %7.1f (best %6.1f) %s  %s\n", name.c_str(), kernels.isa,
                seconds.median * 1e6, seconds.best * 1e6, work / seconds.median, work / seconds.best, unit,
                share.c_str());
  std::fflush(stdout);
}

void report(const MachineLimits& limits, const char* isa, unsigned threads) {
  const double together = memory_bandwidth(threads);
  if (options.json)
    std::printf("{\"limits\":\"%s\",\"int8\":%.1f,\"int16\":%.1f,\"f32\":%.1f,\"bf16\":%.1f,\"l2\":%.1f,\"l3\":%.1f,\"memory\":%.1f,"
                "\"threads\":%u,\"memory_threads\":%.1f}\n",
                isa, limits.int8, limits.int16, limits.f32, limits.bf16, limits.l2, limits.l3, limits.memory, threads,
                together);
  else
    std::printf("limits of a thread, %s: int8 %.0f, int16 %.0f, f32 %.0f, bf16 %.0f Gop/s; reads L2 %.0f, L3 %.0f, memory %.1f "
                "GB/s (%u threads: %.1f)\n",
                isa, limits.int8, limits.int16, limits.f32, limits.bf16, limits.l2, limits.l3, limits.memory, threads, together);
  std::fflush(stdout);
}

// Its linears of 16 rows and more are its own, and all else is avx512vnni's.
bool is_amx(const Kernels& kernels) { return kernels.isa == std::string("avx512amx"); }

bool wanted(const std::string& name) { return name.find(options.filter) != std::string::npos; }

std::mt19937 engine(1);
std::vector<float> random_floats(size_t n) {
  std::vector<float> v(n);
  for (float& x : v) x = static_cast<float>(engine() / 2147483648.0 - 1.0);
  return v;
}

constexpr uint16_t kHalfTenth = 0x2e66;  // 0.1

// A linear layer with random codes, and the tickets of `rows` rows as the backend cuts them.
struct Linear {
  PackedMatrix matrix;
  uint32_t n, k;

  Linear(Scheme scheme, uint32_t group, uint32_t n_, uint32_t k_, ThreadPool& pool) : n(n_), k(k_) {
    WeightMatrix w;
    w.scheme = scheme;
    w.n = n;
    w.k = k;
    w.group = group;
    w.codes.resize(static_cast<size_t>(n) * (scheme == Scheme::kW8 ? k : (k + 1) / 2));
    for (uint8_t& c : w.codes) c = static_cast<uint8_t>(scheme == Scheme::kW8 ? engine() % 255 - 127 : engine());
    w.scales.assign(static_cast<size_t>(n) * w.groups(), kHalfTenth);
    if (scheme == Scheme::kW4) w.minimums.assign(w.scales.size(), kHalfTenth);
    std::vector<WeightMatrix> parts;
    parts.push_back(std::move(w));
    BufferArena arena;
    matrix = PackedMatrix(std::move(parts), false, arena, pool);
  }

  struct Input {
    std::vector<float> x, y;
    std::vector<int8_t> codes;
    std::vector<float> scales, sums, scaled_sums;
    QuantizedRows quantized;
  };
  Input input(uint32_t rows) const {
    const TileMatrix& w = matrix.view();
    Input in;
    in.x = random_floats(static_cast<size_t>(rows) * k);
    in.y.resize(static_cast<size_t>(rows) * n);
    in.codes.resize(static_cast<size_t>(rows) * w.blocks * 64);
    in.scales.resize(static_cast<size_t>(rows) * w.groups);
    in.sums.resize(in.scales.size());
    in.scaled_sums.resize(in.scales.size());
    in.quantized = {.codes = in.codes.data(),
                    .scales = in.scales.data(),
                    .sums = in.sums.data(),
                    .scaled_sums = in.scaled_sums.data(),
                    .stride = w.blocks * 64,
                    .groups = w.groups,
                    .group = w.group};
    return in;
  }
  void quantize(const Kernels& kernels, Input& in, uint32_t rows) const {
    const TileMatrix& w = matrix.view();
    for (uint32_t m = 0; m < rows; ++m)
      kernels.quantize_row(in.x.data() + static_cast<size_t>(m) * k, k, w.blocks, w.group,
                           in.codes.data() + static_cast<size_t>(m) * w.blocks * 64,
                           in.scales.data() + static_cast<size_t>(m) * w.groups,
                           in.sums.data() + static_cast<size_t>(m) * w.groups,
                           in.scaled_sums.data() + static_cast<size_t>(m) * w.groups);
  }
  void multiply(const Kernels& kernels, Input& in, uint32_t rows, bool int8, const std::vector<ExpandSpan>& spans) const {
    for (uint32_t row = 0; row < rows; row += kMaxTileRows)
      for (uint32_t t = 0; t < tiles_of(n); ++t)
        kernels.linear_tile({.operands = {{.matrix = &matrix.view(),
                                           .tile = t,
                                           .bias = nullptr,
                                           .quantized = int8 ? &in.quantized : nullptr,
                                           .x = in.x.data(),
                                           .spans = spans.data(),
                                           .span_count = static_cast<uint32_t>(spans.size())}},
                             .part_tile = t,
                             .first_row = row,
                             .rows = std::min(kMaxTileRows, rows - row),
                             .epilogue = TileEpilogue::kStore,
                             .y = in.y.data() + t * kLanes,
                             .y_stride = n,
                             .columns = kLanes});
  }
};

struct Shape {
  uint32_t n, k;
};
constexpr Shape kShapes[] = {{1536, 576}, {5632, 2048}, {65536, 2048}};  // the last one comes from memory

std::string shape_name(Shape s) { return std::to_string(s.k) + "x" + std::to_string(s.n); }

void bench_linear(const Kernels& kernels, const MachineLimits& limits, ThreadPool& pool) {
  struct Kind {
    const char* name;
    Scheme scheme;
    uint32_t group;
    bool int8;
  };
  const Kind kinds[] = {{"w4-g32", Scheme::kW4, 32, true},    {"w4-g64", Scheme::kW4, 64, true},
                        {"w4-g128", Scheme::kW4, 128, true},  {"nf4-g64", Scheme::kNf4, 64, true},
                        {"w8-g32", Scheme::kW8, 32, true},    {"w8-g64", Scheme::kW8, 64, true},
                        {"w4-g32-f32", Scheme::kW4, 32, false}, {"nf4-g64-f32", Scheme::kNf4, 64, false}};
  for (const Kind& kind : kinds)
    for (const Shape shape : kShapes) {
      const Linear linear(kind.scheme, kind.group, shape.n, shape.k, pool);
      for (const uint32_t rows : {1u, 8u, 16u, 32u, 128u}) {
        if (is_amx(kernels) && (rows < 16 || !kind.int8)) continue;
        const std::string name = std::string("linear ") + kind.name + " " + shape_name(shape) + " M=" + std::to_string(rows);
        if (!wanted(name)) continue;
        Linear::Input in = linear.input(rows);
        linear.quantize(kernels, in, rows);
        const Seconds seconds = measure([&] { linear.multiply(kernels, in, rows, kind.int8, {}); });
        const double operations = 2e-9 * rows * shape.n * shape.k;
        const Floor floor{operations, kind.int8 ? limits.int8 : limits.f32, kind.int8 ? "int8" : "f32",
                          linear.matrix.bytes()};
        report(kernels, name, seconds, operations, "Gop/s", share_of_limit(limits, floor, seconds));
      }
    }
}

// As they come, and gathered for a matrix whose inputs are in an order of their own.
void bench_quantize(const Kernels& kernels) {
  constexpr uint32_t kColumns = 2048, kRows = 32;
  const std::vector<float> x = random_floats(size_t{kRows} * kColumns);
  std::vector<uint32_t> order(kColumns);
  for (uint32_t i = 0; i < kColumns; ++i) order[i] = i * 1021 % kColumns;  // coprime: every input once
  for (const bool gathered : {false, true}) {
    const std::string name = std::string("quantize g32 2048 M=32") + (gathered ? " gathered" : "");
    if (!wanted(name)) continue;
    const InputForm form{.group = 32, .order = gathered ? order.data() : nullptr};
    FormScratch scratch;
    scratch.prepare(form, kColumns, kRows, x.data());
    const Seconds seconds = measure([&] {
      for (uint32_t row = 0; row < kRows; ++row) scratch.fill(form, kernels, kColumns, x.data(), row);
    });
    report(kernels, name, seconds, kRows * kColumns * 1e-9, "Gfloat/s");
  }
}

// Rows over 8 adapters of rank 16: the linear with quantize, shrink and expand against it without adapters.
void bench_adapters(const Kernels& kernels, ThreadPool& pool) {
  constexpr uint32_t kAdapters = 8, kRank = 16;
  for (const AdapterForm form : {AdapterForm::kBf16, AdapterForm::kInt8})
    for (const Shape shape : kShapes) {
      const Linear linear(Scheme::kW4, 32, shape.n, shape.k, pool);
      const AdapterMatrix a = a_matrix(form, kRank, shape.k), b = b_matrix(form, kRank, shape.n);
      const std::vector<uint8_t> source(static_cast<size_t>(std::max(shape.n, shape.k)) * kRank * 2, 0x3c);
      const AlignedBuffer memory(kAdapters * (a.bytes() + b.bytes()));
      const auto matrix_of = [&](uint32_t adapter) { return memory.as<uint8_t>() + adapter * (a.bytes() + b.bytes()); };
      for (uint32_t i = 0; i < kAdapters; ++i) {
        pack_a(form, AdapterType::kBf16, source.data(), kRank, shape.k, matrix_of(i));
        pack_b(form, AdapterType::kBf16, source.data(), kRank, shape.n, matrix_of(i) + a.bytes());
      }
      for (const uint32_t rows : {8u, 32u, 128u}) {
        const std::string name = std::string("lora 8 x r16 ") + (form == AdapterForm::kInt8 ? "int8" : "bf16") + " w4-g32 " +
                                 shape_name(shape) + " M=" + std::to_string(rows);
        if (!wanted(name)) continue;
        Linear::Input in = linear.input(rows);
        std::vector<RankTile> v(rows);
        std::vector<ExpandSpan> spans;
        const uint32_t each = rows / kAdapters;
        for (uint32_t i = 0; i < kAdapters; ++i)
          spans.push_back({.first_row = i * each,
                           .count = each,
                           .rank = kRank,
                           .form = form,
                           .scaling = 1,
                           .b = matrix_of(i) + a.bytes(),
                           .tile_bytes = static_cast<uint32_t>(b.tile_bytes),
                           .scales = reinterpret_cast<const float*>(matrix_of(i) + a.bytes() + b.scales_at()),
                           .v = &v[i * each],
                           .v_stride = 1});
        const auto base = [&] {
          linear.quantize(kernels, in, rows);
          linear.multiply(kernels, in, rows, true, {});
        };
        const auto adapted = [&] {
          linear.quantize(kernels, in, rows);
          for (uint32_t i = 0; i < kAdapters; ++i)
            kernels.shrink_tile({.a = matrix_of(i),
                                 .form = form,
                                 .scales = reinterpret_cast<const float*>(matrix_of(i) + a.scales_at()),
                                 .k = shape.k,
                                 .first_row = i * each,
                                 .rows = each,
                                 .quantized = form == AdapterForm::kInt8 ? &in.quantized : nullptr,
                                 .x = in.x.data(),
                                 .v = &v[i * each],
                                 .v_stride = 1});
          linear.multiply(kernels, in, rows, true, spans);
        };
        const Seconds without = measure(base);
        report(kernels, name, measure(adapted), 100 * without.best, "% of the base's speed");
      }
    }
}

// Codes, or halves from 1/8 to 1/2: what they are does not change the speed, as long as sums stay finite.
void fill(const CpuKvPool& kv, KvType type) {
  const size_t bytes = kv.layout.block_bytes() * kv.blocks(), head_bytes = kv.layout.head_stride;
  auto* halves = reinterpret_cast<uint16_t*>(kv.layer(0));
  auto* codes = reinterpret_cast<int8_t*>(kv.layer(0));
  if (type == KvType::kF16) {
    for (size_t i = 0; i < bytes / 2; ++i) halves[i] = static_cast<uint16_t>(0x3000 + engine() % 0x800);
    return;
  }
  for (size_t i = 0; i < bytes; ++i) codes[i] = static_cast<int8_t>(engine() % 255 - 127);
  const std::vector<float> scales(2 * kKvBlockTokens, 1.0f / 256);
  for (size_t head = 0; head < bytes; head += head_bytes)
    std::memcpy(codes + head + kv.layout.scale_offset, scales.data(), scales.size() * sizeof(float));
}

// All heads of a model's layer at 1024 tokens: one decoded row, or the last 64 rows of a prompt.
void bench_attention(const Kernels& kernels, const MachineLimits& limits, KvType type) {
  struct Heads {
    const char* name;
    uint32_t heads, kv_heads;
  };
  constexpr uint32_t kDim = 64, kContext = 1024;
  const bool int8 = type == KvType::kInt8;
  // Over int8, half of the operations are scores, by products of int8, and the other half sums of values, by int16.
  const double integer_peak = limits.int16 > 0 ? 2 / (1 / limits.int8 + 1 / limits.int16) : 0;
  for (const Heads& h : {Heads{"9/3 heads", 9, 3}, Heads{"32/4 heads", 32, 4}})
    for (const uint32_t rows : {1u, 64u}) {
      const std::string name = std::string("attention ") + (int8 ? "int8 " : "") + "ctx 1024 " + h.name + " rows=" + std::to_string(rows);
      if (!wanted(name)) continue;
      ModelConfig config;
      config.layers = 1;
      config.heads = h.heads;
      config.kv_heads = h.kv_heads;
      config.head_dim = kDim;
      const CpuKvPool kv(config, type, kContext / kKvBlockTokens);
      fill(kv, type);
      const std::vector<float> q = random_floats(static_cast<size_t>(rows) * config.q_dim());
      std::vector<float> y(q.size());
      std::vector<uint32_t> blocks;
      for (uint32_t b = 0; b < kv.blocks(); ++b) blocks.push_back(b);
      const uint32_t group = h.heads / h.kv_heads, step = kMaxQueries / group;
      const Seconds seconds = measure([&] {
        for (uint32_t head = 0; head < h.kv_heads; ++head)
          for (uint32_t row = 0; row < rows; row += step)
            kernels.attention_tile({.q = q.data() + row * config.q_dim() + head * group * kDim,
                                    .y = y.data() + row * config.q_dim() + head * group * kDim,
                                    .q_stride = config.q_dim(),
                                    .y_stride = config.q_dim(),
                                    .rows = std::min(step, rows - row),
                                    .heads = group,
                                    .head_dim = kDim,
                                    .first_position = kContext - rows + row,
                                    .window = 0,
                                    .scale = 0.125f,
                                    .blocks = blocks.data(),
                                    .following = nullptr,
                                    .kv = kv.layer(0) + kv.layout.head_stride * kv.layout.element_bytes * head,
                                    .block_stride = kv.layout.block_stride,
                                    .value_offset = kv.layout.value_offset,
                                    .scale_offset = kv.layout.scale_offset,
                                    .value_stride = kv.layout.value_stride,
                                    .kv_type = type});
      });
      const double operations = 4e-9 * rows * h.heads * kDim * kContext;  // a causal prompt does slightly less
      const Floor floor{operations, int8 ? integer_peak : limits.f32, int8 ? "int8 and int16" : "f32",
                        kv.layout.block_bytes() * kv.blocks()};
      report(kernels, name, seconds, operations, "Gop/s", share_of_limit(limits, floor, seconds));
    }
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--json") {
      options.json = true;
    } else if (argument == "--isa" && i + 1 < argc) {
      options.isa = argv[++i];
    } else if (argument == "--filter" && i + 1 < argc) {
      options.filter = argv[++i];
    } else {
      std::fprintf(stderr, "usage: kernel_bench [--json] [--isa scalar|avx2|avx512vnni|avx512amx] [--filter TEXT]\n");
      return 2;
    }
  }
  ThreadPool pool(1);
  for (const Kernels* kernels : kernel_levels().kernels) {
    if (!options.isa.empty() && options.isa != kernels->isa) continue;
    const MachineLimits limits = measure_limits(kernels->isa);
    report(limits, kernels->isa, std::max(1u, std::thread::hardware_concurrency()));
    bench_linear(*kernels, limits, pool);
    if (is_amx(*kernels)) continue;
    bench_quantize(*kernels);
    bench_adapters(*kernels, pool);
    bench_attention(*kernels, limits, KvType::kF16);
    bench_attention(*kernels, limits, KvType::kInt8);
  }
}
