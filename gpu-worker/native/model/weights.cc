#include "model/weights.h"

#include <cmath>

#include "model/half.h"

namespace polygraft {

const float kNf4Table[16] = {-1.0f,
                             -0.6961928009986877f,
                             -0.5250730514526367f,
                             -0.39491748809814453f,
                             -0.28444138169288635f,
                             -0.18477343022823334f,
                             -0.09105003625154495f,
                             0.0f,
                             0.07958029955625534f,
                             0.16093020141124725f,
                             0.24611230194568634f,
                             0.33791524171829224f,
                             0.44070982933044434f,
                             0.5626170039176941f,
                             0.7229568362236023f,
                             1.0f};

float dequantize(const WeightMatrix& w, uint32_t row, uint32_t column) {
  const size_t at = static_cast<size_t>(row) * w.k + column;
  if (w.scheme == Scheme::kF32) return w.values[at];
  const size_t group = static_cast<size_t>(row) * w.groups() + column / w.group;
  const float scale = fp16_to_float(w.scales[group]);
  if (w.scheme == Scheme::kW8) return scale * static_cast<float>(static_cast<int8_t>(w.codes[at]));
  const size_t row_bytes = (static_cast<size_t>(w.k) + 1) / 2;
  const uint8_t pair = w.codes[row * row_bytes + column / 2];
  const int code = column % 2 == 0 ? pair & 15 : pair >> 4;
  if (w.scheme == Scheme::kNf4) return scale * kNf4Table[code];
  return std::fma(scale, static_cast<float>(code), fp16_to_float(w.minimums[group]));
}

}  // namespace polygraft
