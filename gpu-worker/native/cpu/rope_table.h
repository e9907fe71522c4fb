// Cosines and sines of rotary embedding by position, computed in double and kept as float.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/config.h"

namespace polygraft {

class RopeTable {
 public:
  explicit RopeTable(const ModelConfig& config);
  // Makes positions below `count` available. Not thread-safe: call it before the tickets of an op start.
  void reserve(uint32_t count);
  // [head_dim / 2] each, for a reserved position.
  const float* cosines(uint32_t position) const { return page(position); }
  const float* sines(uint32_t position) const { return page(position) + frequencies_.size(); }

 private:
  static constexpr uint32_t kPagePositions = 64;  // pages, because few sequences reach the model's last position
  const float* page(uint32_t position) const {
    return pages_[position / kPagePositions].get() + position % kPagePositions * 2 * frequencies_.size();
  }
  std::vector<double> frequencies_;  // radians a position, by pair
  std::vector<std::unique_ptr<float[]>> pages_;
};

}  // namespace polygraft
