// Weights in the order that kernels read them: tiles of 16 outputs, each tile one stream.
//
//   W4, NF4   codes [tile][k/64][8][64 B]; byte = column x 4 k, low nibble k 0..31 of the block, high nibble 32..63
//   W8        codes [tile][k/32][8][64 B]; byte = column x 4 k
//   F32       values [tile][k][16]
//   scales    fp16 [tile][group][16]; W4: [tile][group][scale, minimum][16]
//
// Outputs are padded to 16 and k to 64 with zero codes and scales. Activations are zero there, so results stay exact.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/aligned_buffer.h"
#include "cpu/kernels/kernels.h"
#include "cpu/thread_pool.h"
#include "model/weights.h"

namespace polygraft {

// One or more weight matrices over the same input, as one matrix of tiles.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  // All parts have the same k, scheme, group and order of inputs. With `interleave` tile i of each part follows tile i of
  // the one before (gate and up); else the parts follow each other (q, k, v).
  PackedMatrix(std::vector<WeightMatrix> parts, bool interleave, BufferArena& arena, ThreadPool& pool);

  const TileMatrix& view() const { return view_; }
  uint32_t tiles() const { return tiles_; }
  const uint32_t* order() const { return order_.empty() ? nullptr : order_.data(); }
  uint64_t bytes() const { return codes_.bytes() + scales_.bytes() + values_.bytes() + 4 * order_.size(); }

 private:
  void pack_tile(const WeightMatrix& part, uint32_t source_tile, uint32_t tile);

  TileMatrix view_{};
  uint32_t tiles_ = 0;
  AlignedBuffer codes_, scales_, values_;
  std::vector<uint32_t> order_;
};

// Whether matrices over the same input can be one.
bool packs_with(const WeightMatrix& a, const WeightMatrix& b);

inline uint32_t tiles_of(uint32_t n) { return (n + kLanes - 1) / kLanes; }

// Bytes of a packed matrix's source, for progress.
uint64_t weight_bytes(const WeightMatrix& matrix);

}  // namespace polygraft
