// The emulated tile registers (emulated_tiles.h) against what Intel's manual says of AMX: shapes, tails and faults.
#define PG_ISA tile_registers
#define PG_ISA_scalar 1
#define PG_TILES "test/kernels/emulated_tiles.h"
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "cpu/kernels/kernels.h"
#include "cpu/simd/tiles.h"
#include "test/check.h"

using namespace polygraft;
using namespace polygraft::tile_registers;

namespace {

void check_fault(const char* part, const std::function<void()>& body) {
  try {
    body();
  } catch (const TileFault& fault) {
    if (std::string(fault.what()).find(part) == std::string::npos)
      check::fail(__FILE__, __LINE__, std::string("fault \"") + fault.what() + "\", expected \"" + part + "\"");
    return;
  }
  check::fail(__FILE__, __LINE__, std::string("no fault, expected \"") + part + "\"");
}

// sums 3x5 = x 3x8 times w 8x5.
TileConfig small_config() {
  TileConfig config;
  config.rows[0] = 3, config.row_bytes[0] = 4 * 5;
  config.rows[1] = 3, config.row_bytes[1] = 8;
  config.rows[2] = 2, config.row_bytes[2] = 4 * 5;
  return config;
}

}  // namespace

TEST(a_product_has_the_shapes_of_its_registers) {
  configure_tiles(small_config());
  std::vector<int8_t> x(3 * 11), w(2 * 33);  // rows lie 11 and 33 bytes apart
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int8_t>(i * 37 - 128);
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<int8_t>(i * 91 + 5);
  load_tile<1>(x.data(), 11);
  load_tile<2>(w.data(), 33);
  dot_tiles<0, 1, 2>();
  dot_tiles<0, 1, 2>();  // adds
  std::vector<int32_t> y(3 * 6, -7);
  store_tile<0>(y.data(), 6 * 4);
  for (size_t m = 0; m < 3; ++m) {
    for (size_t n = 0; n < 5; ++n) {
      int32_t sum = 0;
      for (size_t k = 0; k < 8; ++k) sum += x[m * 11 + k] * w[k / 4 * 33 + n * 4 + k % 4];
      CHECK_EQ(y[m * 6 + n], 2 * sum);
    }
    CHECK_EQ(y[m * 6 + 5], -7);  // beyond the row's bytes
  }
  zero_tile<0>();
  store_tile<0>(y.data(), 6 * 4);
  CHECK_EQ(y[0], 0);
  release_tiles();
}

TEST(configuring_zeros_the_registers) {
  configure_tiles(small_config());
  const std::vector<int8_t> x(3 * 8, 1);
  load_tile<1>(x.data(), 8);
  configure_tiles(small_config());
  std::vector<int32_t> y(3 * 2, -1);
  store_tile<1>(y.data(), 8);
  for (const int32_t v : y) CHECK_EQ(v, 0);
  release_tiles();
}

TEST(a_configuration_outside_the_limits_faults) {
  const auto with = [](const std::function<void(TileConfig&)>& change) {
    return [change] {
      TileConfig config = small_config();
      change(config);
      configure_tiles(config);
    };
  };
  check_fault("palette", with([](TileConfig& c) { c.palette = 2; }));
  check_fault("reserved", with([](TileConfig& c) { c.reserved[13] = 1; }));
  check_fault("16 rows", with([](TileConfig& c) { c.rows[0] = 17; }));
  check_fault("64 bytes", with([](TileConfig& c) { c.row_bytes[0] = 65; }));
  check_fault("rows without bytes", with([](TileConfig& c) { c.row_bytes[0] = 0; }));
  check_fault("rows without bytes", with([](TileConfig& c) { c.rows[0] = 0; }));
  check_fault("beyond the eighth", with([](TileConfig& c) { c.rows[8] = 1, c.row_bytes[8] = 4; }));
}

TEST(registers_without_a_shape_fault) {
  release_tiles();
  check_fault("before ldtilecfg", [] { zero_tile<0>(); });
  configure_tiles(small_config());
  check_fault("no shape", [] { zero_tile<3>(); });
  check_fault("no shape", [] { dot_tiles<0, 1, 3>(); });
  TileConfig off = small_config();
  off.palette = 0;  // releases
  configure_tiles(off);
  check_fault("before ldtilecfg", [] { zero_tile<0>(); });
}

TEST(products_of_shapes_that_do_not_fit_fault) {
  const auto with = [](const std::function<void(TileConfig&)>& change) {
    return [change] {
      TileConfig config = small_config();
      change(config);
      configure_tiles(config);
      dot_tiles<0, 1, 2>();
    };
  };
  check_fault("differ in rows", with([](TileConfig& c) { c.rows[1] = 4; }));
  check_fault("differ in columns", with([](TileConfig& c) { c.row_bytes[2] = 16; }));
  check_fault("differ in k", with([](TileConfig& c) { c.row_bytes[1] = 12; }));
  check_fault("whole dwords", with([](TileConfig& c) { c.row_bytes[0] = c.row_bytes[2] = 18; }));
  configure_tiles(small_config());
  check_fault("same register", [] { dot_tiles<0, 1, 1>(); });
  release_tiles();
}
