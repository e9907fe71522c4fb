#include "cpu/self_check.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "cpu/linear_plan.h"
#include "cpu/packing.h"

namespace polygraft {
namespace {

constexpr uint32_t kColumns = 24;  // a tile, and half of one
// Blocks of 64: an odd number, so that groups of 128 end in half a group; more than are unpacked at once (dot_tiles.h).
constexpr uint32_t kInputs = 19 * kBlockK - 7;
constexpr uint32_t kRowCounts[] = {16, 29, 56, kMaxTileRows};  // full registers, overlapping ones, some rows left over

struct Case {
  const char* name;
  Scheme scheme;
};
constexpr Case kCases[] = {{"W4", Scheme::kW4}, {"NF4", Scheme::kNf4}, {"W8", Scheme::kW8}};
constexpr uint32_t kGroups[] = {32, 64, 128};

using Random = std::mt19937;

std::vector<float> random_floats(Random& random, size_t n) {
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(random() / 2147483648.0 - 1.0);
  return values;
}
// fp16 of either sign, from 1/16 to 1/8.
std::vector<uint16_t> random_halves(Random& random, size_t n) {
  std::vector<uint16_t> values(n);
  for (uint16_t& v : values) v = static_cast<uint16_t>(0x2c00 + random() % 0x400 + (random() % 2) * 0x8000);
  return values;
}

WeightMatrix random_matrix(Random& random, Scheme scheme, uint32_t group) {
  WeightMatrix w;
  w.scheme = scheme;
  w.n = kColumns;
  w.k = kInputs;
  w.group = group;
  w.codes.resize(static_cast<size_t>(w.n) * (scheme == Scheme::kW8 ? w.k : (w.k + 1) / 2));
  for (uint8_t& c : w.codes) c = static_cast<uint8_t>(scheme == Scheme::kW8 ? random() % 255 - 127 : random());
  w.scales = random_halves(random, static_cast<size_t>(w.n) * w.groups());
  if (scheme == Scheme::kW4) w.minimums = random_halves(random, w.scales.size());
  return w;
}

// y [rows][kColumns] of gate and up, through the epilogue.
std::vector<float> multiply(const Kernels& kernels, const PackedMatrix& matrix, const QuantizedRows& x, uint32_t rows,
                            TileEpilogue epilogue) {
  std::vector<float> y(static_cast<size_t>(rows) * kColumns, 0.5f);
  const auto operand = [&](uint32_t tile) {
    return TileOperand{.matrix = &matrix.view(), .tile = tile, .bias = nullptr, .quantized = &x, .x = nullptr,
                       .spans = nullptr, .span_count = 0};
  };
  for (uint32_t tile = 0; tile < tiles_of(kColumns); ++tile)
    kernels.linear_tile({.operands = {operand(2 * tile), operand(2 * tile + 1)},
                         .part_tile = tile,
                         .first_row = 0,
                         .rows = rows,
                         .epilogue = epilogue,
                         .y = y.data() + tile * kLanes,
                         .y_stride = kColumns,
                         .columns = std::min(kLanes, kColumns - tile * kLanes)});
  return y;
}

}  // namespace

std::string first_wrong_linear(const Kernels& kernels, const Kernels& reference) {
  Random random(1);
  ThreadPool pool(1);
  BufferArena arena;
  const std::vector<float> x = random_floats(random, static_cast<size_t>(kMaxTileRows) * kInputs);
  for (const Case& c : kCases)
    for (const uint32_t group : kGroups) {
      std::vector<WeightMatrix> parts;
      for (int part = 0; part < 2; ++part) parts.push_back(random_matrix(random, c.scheme, group));
      const PackedMatrix matrix(std::move(parts), true, arena, pool);
      const InputForm form{.group = group};
      FormScratch scratch;
      scratch.prepare(form, kInputs, kMaxTileRows, x.data());
      for (uint32_t row = 0; row < kMaxTileRows; ++row) scratch.fill(form, reference, kInputs, x.data(), row);
      for (const uint32_t rows : kRowCounts)
        for (const TileEpilogue epilogue : {TileEpilogue::kAdd, TileEpilogue::kSwiGlu}) {
          const std::vector<float> expected = multiply(reference, matrix, scratch.quantized, rows, epilogue);
          const std::vector<float> y = multiply(kernels, matrix, scratch.quantized, rows, epilogue);
          if (std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)) != 0)
            return std::string(c.name) + " in groups of " + std::to_string(group) + ", " + std::to_string(rows) +
                   " rows: not the bits that " + reference.isa + " kernels return";
        }
    }
  return {};
}

}  // namespace polygraft
