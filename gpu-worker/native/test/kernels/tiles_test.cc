// The linears of many rows on tile registers, against the scalar reference bit for bit: every scheme, and sizes at and
// around the registers' own. The registers are emulated, and those of this CPU where it has them.
#include <functional>
#include <limits>

#include "cpu/linear_plan.h"
#include "cpu/packing.h"
#include "test/check.h"
#include "test/kernels/fixture.h"

using namespace polygraft;
using namespace polygraft::fixture;

namespace {

bool on_tiles(const Kernels& kernels) {
  const std::string isa = kernels.isa;
  return isa == "avx512amx" || isa.find("tiles") != std::string::npos;
}

struct SchemeCase {
  Scheme scheme;
  uint32_t group;
};
constexpr SchemeCase kSchemes[] = {{Scheme::kW4, 32},  {Scheme::kW4, 64},  {Scheme::kW4, 128},
                                   {Scheme::kNf4, 32}, {Scheme::kNf4, 64}, {Scheme::kNf4, 128},
                                   {Scheme::kW8, 32},  {Scheme::kW8, 64},  {Scheme::kW8, 128}};

// Rows in memory of exactly their size, so that a sanitizer sees the first byte read beyond.
struct Rows {
  std::vector<int8_t> codes;
  std::vector<float> scales, sums, scaled_sums;
  QuantizedRows view{};

  Rows(const TileMatrix& w, const std::vector<float>& x, uint32_t rows)
      : codes(static_cast<size_t>(rows) * w.blocks * kBlockK), scales(static_cast<size_t>(rows) * w.groups),
        sums(scales.size()), scaled_sums(scales.size()) {
    for (size_t row = 0; row < rows; ++row)
      kKernelsScalar.quantize_row(x.data() + row * w.k, w.k, w.blocks, w.group,
                                  codes.data() + row * w.blocks * kBlockK, scales.data() + row * w.groups,
                                  sums.data() + row * w.groups, scaled_sums.data() + row * w.groups);
    view = {codes.data(), scales.data(), sums.data(), scaled_sums.data(), w.blocks * kBlockK, w.groups, w.group};
  }
};

// All columns of y [rows][n] from rows first..first+count-1; the others keep 0.25.
struct Product {
  const PackedMatrix& matrix;
  const Rows& x;
  uint32_t n, rows, first, count;
  TileEpilogue epilogue = TileEpilogue::kStore;
  const float* bias = nullptr;
  std::vector<ExpandSpan> spans = {};

  std::vector<float> by(const Kernels& kernels) const {
    std::vector<float> y(static_cast<size_t>(rows) * n, 0.25f);
    const bool paired = epilogue == TileEpilogue::kSwiGlu;
    const auto operand = [&](uint32_t tile) {
      return TileOperand{.matrix = &matrix.view(), .tile = tile, .bias = bias, .quantized = &x.view, .x = nullptr,
                         .spans = spans.data(), .span_count = static_cast<uint32_t>(spans.size())};
    };
    for (uint32_t tile = 0; tile < tiles_of(n); ++tile)
      kernels.linear_tile({.operands = {operand(paired ? 2 * tile : tile), operand(paired ? 2 * tile + 1 : tile)},
                           .part_tile = tile,
                           .first_row = first,
                           .rows = count,
                           .epilogue = epilogue,
                           .y = y.data() + tile * kLanes,
                           .y_stride = n,
                           .columns = std::min(kLanes, n - tile * kLanes)});
    return y;
  }
};

PackedMatrix packed(Random& random, SchemeCase c, uint32_t n, uint32_t k, uint32_t parts) {
  ThreadPool pool(1);
  BufferArena arena;
  std::vector<WeightMatrix> matrices;
  for (uint32_t i = 0; i < parts; ++i) {
    const std::vector<float> values = random.floats(static_cast<size_t>(n) * k, 1.0f);
    matrices.push_back(quantize(values.data(), n, k, c.scheme, c.group));
  }
  return PackedMatrix(std::move(matrices), parts > 1, arena, pool);
}

std::string describe(SchemeCase c, uint32_t n, uint32_t k, uint32_t count) {
  return "scheme " + std::to_string(static_cast<int>(c.scheme)) + ", group " + std::to_string(c.group) + ", " +
         std::to_string(n) + "x" + std::to_string(k) + ", " + std::to_string(count) + " rows";
}

void check_product(const Product& product, const std::string& what) {
  const std::vector<float> expected = product.by(kKernelsScalar);
  for (const Kernels* kernels : all_kernels())
    if (on_tiles(*kernels) && !same_bits(product.by(*kernels), expected))
      check::fail(__FILE__, __LINE__, what + ": " + kernels->isa + " returns other bits than scalar");
}

}  // namespace

TEST(every_scheme_and_size_has_the_bits_of_the_scalar_reference) {
  Random random(1);
  // Inputs around a group, a register's row, and the panel that is unpacked at once.
  for (const SchemeCase c : kSchemes)
    for (const uint32_t k : {1u, 31u, 64u, 100u, 576u, 1023u, 1025u, 1216u, 2112u}) {
      const uint32_t n = k % 2 ? 17 : 32, rows = kMaxTileRows + 3;
      const PackedMatrix matrix = packed(random, c, n, k, 1);
      const Rows x(matrix.view(), random.floats(static_cast<size_t>(rows) * k, 3.0f), rows);
      for (const uint32_t count : {15u, 16u, 17u, 24u, 25u, 31u, 32u, 41u, 63u, 64u})
        check_product({matrix, x, n, rows, rows - count, count}, describe(c, n, k, count));
    }
}

TEST(bias_adapters_and_epilogues_follow_as_they_do_after_few_rows) {
  Random random(2);
  const uint32_t n = 40, k = 200, rows = kMaxTileRows, rank = 5;
  const std::vector<float> bias = random.floats(2 * tiles_of(n) * kLanes, 1.0f);
  const std::vector<float> b = random.floats(static_cast<size_t>(tiles_of(n)) * rank * kLanes, 1.0f);
  std::vector<RankTile> v(rows);
  for (RankTile& tile : v)
    for (float& value : tile.values) value = random.uniform();
  const auto span = [&](uint32_t first, uint32_t count) {
    return ExpandSpan{.first_row = first, .count = count, .rank = rank, .form = AdapterForm::kF32, .scaling = 0.5f,
                      .b = reinterpret_cast<const uint8_t*>(b.data()), .tile_bytes = rank * kLanes * 4, .scales = nullptr,
                      .v = v.data() + first, .v_stride = 1};
  };
  for (const SchemeCase c : kSchemes) {
    const PackedMatrix matrix = packed(random, c, n, k, 2);
    const Rows x(matrix.view(), random.floats(static_cast<size_t>(rows) * k, 3.0f), rows);
    for (const TileEpilogue epilogue : {TileEpilogue::kStore, TileEpilogue::kAdd, TileEpilogue::kSwiGlu})
      for (const auto& [first, count] : {std::pair(0u, 64u), std::pair(3u, 20u), std::pair(7u, 47u)})
        // Spans begin and end inside registers, and in the rows that are left over.
        check_product({matrix, x, n, rows, first, count, epilogue, bias.data(), {span(1, 8), span(11, 12), span(30, 22)}},
                      describe(c, n, k, count) + ", epilogue " + std::to_string(static_cast<int>(epilogue)));
  }
}

TEST(nan_and_infinite_activations_reach_their_rows_and_no_others) {
  Random random(3);
  const uint32_t n = 16, k = 300, rows = 40;
  for (const SchemeCase c : kSchemes) {
    const PackedMatrix matrix = packed(random, c, n, k, 1);
    std::vector<float> input = random.floats(static_cast<size_t>(rows) * k, 3.0f);
    const Rows clean(matrix.view(), input, rows);
    input[5 * k + 200] = std::numeric_limits<float>::quiet_NaN();
    input[33 * k] = std::numeric_limits<float>::infinity();
    const Rows dirty(matrix.view(), input, rows);
    const std::vector<float> expected = Product{matrix, clean, n, rows, 0, rows}.by(kKernelsScalar);
    for (const Kernels* kernels : all_kernels()) {
      if (!on_tiles(*kernels)) continue;
      const std::vector<float> y = Product{matrix, dirty, n, rows, 0, rows}.by(*kernels);
      for (uint32_t row = 0; row < rows; ++row)
        for (uint32_t column = 0; column < n; ++column) {
          const float value = y[row * n + column];
          if (row == 5 || row == 33)
            CHECK(!std::isfinite(value));
          else
            CHECK_EQ(value, expected[row * n + column]);
        }
    }
  }
}

// Integer sums and weights at their largest: nothing saturates or wraps.
TEST(the_largest_codes_sum_exactly) {
  ThreadPool pool(1);
  for (const SchemeCase c : kSchemes) {
    const uint32_t n = 16, k = 256, rows = 16;
    WeightMatrix w;
    w.scheme = c.scheme;
    w.n = n;
    w.k = k;
    w.group = c.group;
    w.codes.assign(static_cast<size_t>(n) * (c.scheme == Scheme::kW8 ? k : k / 2), c.scheme == Scheme::kW8 ? 0x81 : 0xff);
    w.scales.assign(static_cast<size_t>(n) * w.groups(), 0x3c00);  // 1
    if (c.scheme == Scheme::kW4) w.minimums.assign(w.scales.size(), 0);
    BufferArena arena;
    const PackedMatrix matrix({w}, false, arena, pool);
    const Rows x(matrix.view(), std::vector<float>(static_cast<size_t>(rows) * k, -127.0f), rows);
    const float weight = c.scheme == Scheme::kW4 ? 15.0f : c.scheme == Scheme::kW8 ? -127.0f : 1.0f;
    const Product product{matrix, x, n, rows, 0, rows};
    check_product(product, describe(c, n, k, rows));
    for (const Kernels* kernels : all_kernels())
      for (const float y : product.by(*kernels)) CHECK_NEAR(y, weight * -127.0f * k, 1);
  }
}
