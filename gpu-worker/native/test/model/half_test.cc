#include "model/half.h"

#include <cmath>
#include <limits>

#include "test/check.h"

using namespace polygraft;

TEST(every_fp16_survives_the_round_trip) {
  int wrong = 0;
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float f = fp16_to_float(static_cast<uint16_t>(h));
    const uint16_t back = float_to_fp16(f);
    if (std::isnan(f) ? !std::isnan(fp16_to_float(back)) : back != h) ++wrong;
  }
  CHECK_EQ(wrong, 0);
}

TEST(every_bf16_survives_the_round_trip) {
  int wrong = 0;
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float f = bf16_to_float(static_cast<uint16_t>(h));
    const uint16_t back = float_to_bf16(f);
    if (std::isnan(f) ? !std::isnan(bf16_to_float(back)) : back != h) ++wrong;
  }
  CHECK_EQ(wrong, 0);
}

TEST(fp16_values_are_what_ieee_754_says) {
  CHECK_EQ(fp16_to_float(0x3c00), 1.0f);
  CHECK_EQ(fp16_to_float(0xc000), -2.0f);
  CHECK_EQ(fp16_to_float(0x7bff), 65504.0f);
  CHECK_EQ(fp16_to_float(0x0400), 0x1p-14f);
  CHECK_EQ(fp16_to_float(0x0001), 0x1p-24f);
  CHECK_EQ(fp16_to_float(0x7c00), std::numeric_limits<float>::infinity());
}

// Every midpoint between neighbours goes to the even one, and just beside it to the nearer one.
TEST(fp16_rounds_to_nearest_even) {
  int wrong = 0;
  for (uint32_t h = 0; h < 0x7bff; ++h) {
    const float low = fp16_to_float(static_cast<uint16_t>(h)), high = fp16_to_float(static_cast<uint16_t>(h + 1));
    const float middle = (low + high) / 2;
    if (float_to_fp16(middle) != (h % 2 == 0 ? h : h + 1)) ++wrong;
    if (float_to_fp16(std::nextafterf(middle, 0.0f)) != h) ++wrong;
    if (float_to_fp16(std::nextafterf(middle, 1e6f)) != h + 1) ++wrong;
    if (float_to_fp16(-middle) != (float_to_fp16(middle) | 0x8000)) ++wrong;
  }
  CHECK_EQ(wrong, 0);
  CHECK_EQ(float_to_fp16(65519.0f), 0x7bff);
  CHECK_EQ(float_to_fp16(65520.0f), 0x7c00);
  CHECK_EQ(float_to_fp16(0x1p-26f), 0);
}

TEST(bf16_rounds_to_nearest_even) {
  CHECK_EQ(float_to_bf16(1.0f), 0x3f80);
  CHECK_EQ(float_to_bf16(1.0f + 0x1p-8f), 0x3f80);      // midpoint, even below
  CHECK_EQ(float_to_bf16(1.0f + 3 * 0x1p-8f), 0x3f82);  // midpoint, even above
  CHECK_EQ(float_to_bf16(std::nextafterf(1.0f + 0x1p-8f, 2.0f)), 0x3f81);
}
