#include "cpu/cpu_adapter.h"

#include "cpu/adapter_packing.h"
#include "cpu/cpu_model.h"

namespace polygraft {

uint64_t packed_adapter_bytes(const ModelConfig& config, const AdapterWeights& weights, bool int8) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < weights.modules.size(); ++i) {
    const AdapterModule& m = weights.modules[i];
    if (m.rank == 0) continue;
    const Shape2 shape = projection_shape(config, static_cast<Projection>(i % 7));
    const AdapterForm form = adapter_form(m.type, int8);
    bytes += a_matrix(form, m.rank, shape.k).bytes() + b_matrix(form, m.rank, shape.n).bytes();
  }
  return bytes;
}

CpuAdapter::CpuAdapter(const ModelConfig& config, const AdapterWeights& weights, bool int8)
    : memory_(packed_adapter_bytes(config, weights, int8)), modules_(weights.modules.size()) {
  uint8_t* next = memory_.as<uint8_t>();
  const auto for_each_adapted = [&](uint32_t layer, LinearGroup group, const auto& use) {
    for (const LinearPart& part : linear_parts(config, group)) {
      const size_t index = layer * 7 + static_cast<size_t>(part.projection);
      if (weights.modules[index].rank > 0) use(weights.modules[index], modules_[index], projection_shape(config, part.projection));
    }
  };
  for (uint32_t layer = 0; layer < config.layers; ++layer)
    for (const LinearGroup group : kLinearGroups) {
      for_each_adapted(layer, group, [&](const AdapterModule& source, CpuAdapterModule& module, Shape2 shape) {
        const AdapterForm form = adapter_form(source.type, int8);
        const AdapterMatrix a = a_matrix(form, source.rank, shape.k);
        module.rank = source.rank;
        module.scaling = source.scaling;
        module.form = form;
        module.a = next;
        module.a_tile_bytes = a.tile_bytes;
        module.a_scales = reinterpret_cast<const float*>(next + a.scales_at());
        module.a_tile_scales = a.tile_scales;
        pack_a(form, source.type, source.a.data(), source.rank, shape.k, next);
        next += a.bytes();
      });
      for_each_adapted(layer, group, [&](const AdapterModule& source, CpuAdapterModule& module, Shape2 shape) {
        const AdapterMatrix b = b_matrix(module.form, source.rank, shape.n);
        module.b = next;
        module.b_tile_bytes = static_cast<uint32_t>(b.tile_bytes);
        module.b_scales = reinterpret_cast<const float*>(next + b.scales_at());
        pack_b(module.form, source.type, source.b.data(), source.rank, shape.n, next);
        next += b.bytes();
      });
    }
}

}  // namespace polygraft
