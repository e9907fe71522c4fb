#include "cpu/packing.h"

#include <algorithm>

#include "model/error.h"

namespace polygraft {
namespace {

// Code of (row, column) as an unsigned byte.
uint8_t code_at(const WeightMatrix& w, uint32_t row, uint32_t column) {
  if (w.scheme == Scheme::kW8) return w.codes[static_cast<size_t>(row) * w.k + column];
  const size_t row_bytes = (static_cast<size_t>(w.k) + 1) / 2;
  const uint8_t pair = w.codes[row * row_bytes + column / 2];
  return column % 2 == 0 ? pair & 15 : pair >> 4;
}

void check_parts(const std::vector<WeightMatrix>& parts) {
  for (const WeightMatrix& part : parts) {
    if (!packs_with(part, parts[0])) throw Error(PG_INTERNAL, "scheme", "matrices of different formats were to be packed as one");
    if (part.scheme != Scheme::kF32 && part.group != 32 && part.group != 64 && part.group != 128)
      throw Error(PG_UNIMPLEMENTED, "group",
                  "group size " + std::to_string(part.group) + " is not served; use 32, 64 or 128");
  }
}

// Kernels read inputs by it without looking.
void check_order(const WeightMatrix& w) {
  if (w.order.empty()) return;
  std::vector<bool> seen(w.k);
  bool valid = w.order.size() == w.k;
  for (size_t i = 0; valid && i < w.k; ++i) {
    valid = w.order[i] < w.k && !seen[w.order[i]];
    if (valid) seen[w.order[i]] = true;
  }
  if (!valid) throw Error(PG_DATA_LOSS, "order", "the order of a matrix's inputs names one of them twice or never");
}

}  // namespace

uint64_t weight_bytes(const WeightMatrix& m) {
  return m.codes.size() + 2 * (m.scales.size() + m.minimums.size()) + 4 * (m.values.size() + m.order.size());
}

bool packs_with(const WeightMatrix& a, const WeightMatrix& b) {
  return a.k == b.k && a.scheme == b.scheme && a.group == b.group && a.order == b.order;
}

PackedMatrix::PackedMatrix(std::vector<WeightMatrix> parts, bool interleave, BufferArena& arena,
                           ThreadPool& pool) {
  check_parts(parts);
  const WeightMatrix& head = parts.at(0);
  check_order(head);
  order_ = head.order;
  struct Place {
    uint32_t part, tile;
  };
  std::vector<Place> places;
  for (uint32_t p = 0; p < parts.size(); ++p)
    for (uint32_t t = 0; t < tiles_of(parts[p].n); ++t) places.push_back({p, t});
  if (interleave) {
    std::stable_sort(places.begin(), places.end(), [](Place a, Place b) { return a.tile < b.tile; });
  }
  tiles_ = static_cast<uint32_t>(places.size());

  view_.scheme = head.scheme;
  view_.k = head.k;
  view_.blocks = (head.k + kBlockK - 1) / kBlockK;
  if (head.scheme == Scheme::kF32) {
    view_.value_stride = static_cast<size_t>(head.k) * kLanes;
    values_ = arena.take(tiles_ * view_.value_stride * sizeof(float));
    view_.values = values_.as<float>();
  } else {
    view_.group = head.group;
    view_.groups = (view_.blocks * kBlockK + head.group - 1) / head.group;
    view_.code_stride = static_cast<size_t>(view_.blocks) * (head.scheme == Scheme::kW8 ? 1024 : 512);
    view_.scale_stride = static_cast<size_t>(view_.groups) * (head.scheme == Scheme::kW4 ? 32 : 16);
    codes_ = arena.take(tiles_ * view_.code_stride);
    scales_ = arena.take(tiles_ * view_.scale_stride * sizeof(uint16_t));
    view_.codes = codes_.as<uint8_t>();
    view_.scales = scales_.as<uint16_t>();
  }
  pool.run(tiles_, [&](uint32_t tile) { pack_tile(parts[places[tile].part], places[tile].tile, tile); });
}

void PackedMatrix::pack_tile(const WeightMatrix& part, uint32_t source_tile, uint32_t tile) {
  const uint32_t first = source_tile * kLanes, lanes = std::min(kLanes, part.n - first);
  if (part.scheme == Scheme::kF32) {
    float* out = values_.as<float>() + tile * view_.value_stride;
    for (uint32_t lane = 0; lane < lanes; ++lane) {
      const float* row = part.values.data() + static_cast<size_t>(first + lane) * part.k;
      for (uint32_t k = 0; k < part.k; ++k) out[static_cast<size_t>(k) * kLanes + lane] = row[k];
    }
    return;
  }
  uint8_t* codes = codes_.as<uint8_t>() + tile * view_.code_stride;
  uint16_t* scales = scales_.as<uint16_t>() + tile * view_.scale_stride;
  for (uint32_t lane = 0; lane < lanes; ++lane) {
    for (uint32_t k = 0; k < part.k; ++k) {
      const uint8_t code = code_at(part, first + lane, k);
      if (part.scheme == Scheme::kW8) {
        codes[static_cast<size_t>(k / 4) * 64 + lane * 4 + k % 4] = code;
        continue;
      }
      const uint32_t in_block = k % kBlockK;
      uint8_t& byte = codes[static_cast<size_t>(k / kBlockK) * 512 + in_block % 32 / 4 * 64 + lane * 4 + k % 4];
      byte = static_cast<uint8_t>(byte | (in_block < 32 ? code : code << 4));
    }
    const size_t source = static_cast<size_t>(first + lane) * part.groups();
    for (uint32_t g = 0; g < part.groups(); ++g) {
      uint16_t* out = scales + g * (part.scheme == Scheme::kW4 ? 32 : 16) + lane;
      out[0] = part.scales[source + g];
      if (part.scheme == Scheme::kW4) out[16] = part.minimums[source + g];
    }
  }
}

}  // namespace polygraft
