#include "cpu/cpu_adapter.h"

#include <cstring>

#include "cpu/packing.h"

namespace polygraft {
namespace {

size_t element_bytes(AdapterType type) { return type == AdapterType::kF32 ? 4 : 2; }

// Bytes of the two packed matrices, in whole cache lines.
size_t whole_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }
size_t a_bytes(const AdapterModule& m, Shape2 shape) {
  return whole_lines(static_cast<size_t>(tiles_of(m.rank)) * shape.k * kLanes * element_bytes(m.type));
}
size_t b_bytes(const AdapterModule& m, Shape2 shape) {
  return whole_lines(static_cast<size_t>(tiles_of(shape.n)) * m.rank * kLanes * element_bytes(m.type));
}

// Row-major [rows][columns] to [rows/16][columns][16].
template <class Element>
void transpose_tiles(const uint8_t* source, uint32_t rows, uint32_t columns, std::byte* out) {
  auto* tiles = reinterpret_cast<Element*>(out);
  for (uint32_t row = 0; row < rows; ++row) {
    Element* lane = tiles + static_cast<size_t>(row / kLanes) * columns * kLanes + row % kLanes;
    const uint8_t* from = source + static_cast<size_t>(row) * columns * sizeof(Element);
    for (uint32_t c = 0; c < columns; ++c)
      std::memcpy(lane + static_cast<size_t>(c) * kLanes, from + c * sizeof(Element), sizeof(Element));
  }
}
void pack(AdapterType type, const uint8_t* source, uint32_t rows, uint32_t columns, std::byte* out) {
  if (type == AdapterType::kF32)
    transpose_tiles<uint32_t>(source, rows, columns, out);
  else
    transpose_tiles<uint16_t>(source, rows, columns, out);
}

}  // namespace

uint64_t packed_adapter_bytes(const ModelConfig& config, const AdapterWeights& weights) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < weights.modules.size(); ++i) {
    const AdapterModule& m = weights.modules[i];
    if (m.rank == 0) continue;
    const Shape2 shape = projection_shape(config, static_cast<Projection>(i % 7));
    bytes += a_bytes(m, shape) + b_bytes(m, shape);
  }
  return bytes;
}

CpuAdapter::CpuAdapter(const ModelConfig& config, const AdapterWeights& weights)
    : memory_(packed_adapter_bytes(config, weights)), modules_(weights.modules.size()) {
  std::byte* next = memory_.as<std::byte>();
  for (size_t i = 0; i < weights.modules.size(); ++i) {
    const AdapterModule& m = weights.modules[i];
    if (m.rank == 0) continue;
    const Shape2 shape = projection_shape(config, static_cast<Projection>(i % 7));
    pack(m.type, m.a.data(), m.rank, shape.k, next);
    pack(m.type, m.b.data(), shape.n, m.rank, next + a_bytes(m, shape));
    modules_[i] = {.rank = m.rank,
                   .scaling = m.scaling,
                   .type = m.type,
                   .a = next,
                   .b = next + a_bytes(m, shape),
                   .a_tile_bytes = static_cast<size_t>(shape.k) * kLanes * element_bytes(m.type)};
    next += a_bytes(m, shape) + b_bytes(m, shape);
  }
}

}  // namespace polygraft
