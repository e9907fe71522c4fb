#include "test/oracle/forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "model/half.h"

namespace polygraft::oracle {
namespace {

using Row = std::vector<double>;

double adapter_value(const std::vector<uint8_t>& bytes, AdapterType type, size_t i) {
  if (type == AdapterType::kF32) {
    float v;
    std::memcpy(&v, bytes.data() + 4 * i, 4);
    return v;
  }
  uint16_t h;
  std::memcpy(&h, bytes.data() + 2 * i, 2);
  return type == AdapterType::kF16 ? fp16_to_float(h) : bf16_to_float(h);
}

void normalize(std::span<double> x, const std::vector<float>& weight, double eps) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  const double scale = 1 / std::sqrt(sum / static_cast<double>(x.size()) + eps);
  for (size_t i = 0; i < x.size(); ++i) x[i] *= scale * weight[i];
}

Row normalized(Row x, const std::vector<float>& weight, double eps) {
  normalize(x, weight, eps);
  return x;
}

// Rotates the pairs (i, i + dim/2) of a head: the half-split layout of Hugging Face checkpoints.
void rotate(std::span<double> head, const std::vector<double>& frequencies, size_t position) {
  const size_t half = frequencies.size();
  for (size_t i = 0; i < half; ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    const double a = head[i], b = head[i + half];
    head[i] = a * std::cos(angle) - b * std::sin(angle);
    head[i + half] = b * std::cos(angle) + a * std::sin(angle);
  }
}

}  // namespace

Dense dense(const WeightMatrix& w) {
  Dense out{w.n, w.k, Row(static_cast<size_t>(w.n) * w.k)};
  for (uint32_t r = 0; r < w.n; ++r)
    for (uint32_t c = 0; c < w.k; ++c) out.values[static_cast<size_t>(r) * w.k + w.input_of(c)] = dequantize(w, r, c);
  return out;
}

Dense delta(const AdapterModule& module, uint32_t n, uint32_t k) {
  Dense out{n, k, Row(static_cast<size_t>(n) * k)};
  for (uint32_t r = 0; r < n; ++r)
    for (uint32_t i = 0; i < module.rank; ++i) {
      const double b = adapter_value(module.b, module.type, static_cast<size_t>(r) * module.rank + i) * module.scaling;
      for (uint32_t c = 0; c < k; ++c)
        out.values[static_cast<size_t>(r) * k + c] +=
            b * adapter_value(module.a, module.type, static_cast<size_t>(i) * k + c);
    }
  return out;
}

Row multiply(const Dense& w, std::span<const double> x) {
  Row y(w.n);
  for (uint32_t r = 0; r < w.n; ++r) {
    const double* row = w.values.data() + static_cast<size_t>(r) * w.k;
    for (uint32_t c = 0; c < w.k; ++c) y[r] += row[c] * x[c];
  }
  return y;
}

std::vector<double> rope_frequencies(const ModelConfig& config) {
  std::vector<double> out(config.head_dim / 2);
  const RopeScaling& scaling = config.rope_scaling;
  for (size_t i = 0; i < out.size(); ++i) {
    double f = std::pow(static_cast<double>(config.rope_theta), -2.0 * static_cast<double>(i) / config.head_dim);
    if (scaling.kind == RopeScaling::Kind::kLinear) f /= scaling.factor;
    if (scaling.kind == RopeScaling::Kind::kFactors) f /= scaling.factors[i];
    if (scaling.kind == RopeScaling::Kind::kLlama3) {
      // Long wavelengths are interpolated, short ones kept, those between blended (Llama 3.1).
      const double turns = scaling.original_max_position * f / (2 * std::numbers::pi);
      const double blend = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
      const double kept = std::clamp(blend, 0.0, 1.0);
      f = (1 - kept) * f / scaling.factor + kept * f;
    }
    out[i] = f;
  }
  return out;
}

Model::Model(const ModelConfig& config, const ModelWeights& weights)
    : config_(config),
      weights_(weights),
      embedding_(dense(weights.embedding)),
      head_(dense(weights.head)),
      frequencies_(rope_frequencies(config)) {
  for (const LayerWeights& layer : weights.layers)
    for (const WeightMatrix& projection : layer.projections) projections_.push_back(dense(projection));
}

Model::Rows Model::project(const Rows& x, uint32_t layer, Projection projection, const AdapterWeights* adapter) const {
  const size_t p = static_cast<size_t>(projection), at = layer * 7 + p;
  const Dense& w = projections_[at];
  const std::vector<float>& bias = weights_.layers[layer].biases[p];
  const AdapterModule* module = adapter != nullptr && adapter->modules[at].rank > 0 ? &adapter->modules[at] : nullptr;
  const Dense update = module != nullptr ? delta(*module, w.n, w.k) : Dense{};
  Rows y;
  for (const Row& row : x) {
    y.push_back(multiply(w, row));
    for (size_t i = 0; i < bias.size(); ++i) y.back()[i] += bias[i];
    if (module == nullptr) continue;
    const Row extra = multiply(update, row);
    for (size_t i = 0; i < extra.size(); ++i) y.back()[i] += extra[i];
  }
  return y;
}

Model::Rows Model::attend(const Rows& normed, uint32_t layer, const AdapterWeights* adapter) const {
  const size_t dim = config_.head_dim, window = config_.sliding_window;
  Rows q = project(normed, layer, Projection::kQ, adapter);
  Rows k = project(normed, layer, Projection::kK, adapter);
  const Rows v = project(normed, layer, Projection::kV, adapter);
  const LayerWeights& weights = weights_.layers[layer];
  const auto place = [&](Rows& rows, uint32_t heads, const std::vector<float>& norm) {
    for (size_t t = 0; t < rows.size(); ++t)
      for (uint32_t h = 0; h < heads; ++h) {
        const std::span<double> head = std::span(rows[t]).subspan(h * dim, dim);
        if (config_.qk_norm) normalize(head, norm, config_.rms_eps);
        rotate(head, frequencies_, t);
      }
  };
  place(q, config_.heads, weights.q_norm);
  place(k, config_.kv_heads, weights.k_norm);

  Rows out(normed.size(), Row(config_.q_dim()));
  for (size_t t = 0; t < normed.size(); ++t)
    for (uint32_t h = 0; h < config_.heads; ++h) {
      const size_t q_at = h * dim, kv_at = h / (config_.heads / config_.kv_heads) * dim;
      const size_t first = window > 0 && t + 1 > window ? t + 1 - window : 0;
      Row scores;
      for (size_t s = first; s <= t; ++s) {
        double dot = 0;
        for (size_t d = 0; d < dim; ++d) dot += q[t][q_at + d] * k[s][kv_at + d];
        scores.push_back(dot / std::sqrt(static_cast<double>(dim)));
      }
      const double top = *std::max_element(scores.begin(), scores.end());
      double sum = 0;
      for (double& score : scores) sum += score = std::exp(score - top);
      for (size_t s = first; s <= t; ++s)
        for (size_t d = 0; d < dim; ++d) out[t][q_at + d] += scores[s - first] / sum * v[s][kv_at + d];
    }
  return project(out, layer, Projection::kO, adapter);
}

Model::Rows Model::forward(std::span<const uint32_t> tokens, const AdapterWeights* adapter) const {
  const double eps = config_.rms_eps;
  Rows x;
  for (const uint32_t token : tokens) {
    const auto first = embedding_.values.begin() + static_cast<ptrdiff_t>(token) * config_.hidden_size;
    x.emplace_back(first, first + config_.hidden_size);
  }
  const auto add = [&](const Rows& update) {
    for (size_t t = 0; t < x.size(); ++t)
      for (size_t i = 0; i < x[t].size(); ++i) x[t][i] += update[t][i];
  };
  const auto norm_all = [&](const std::vector<float>& weight) {
    Rows out;
    for (const Row& row : x) out.push_back(normalized(row, weight, eps));
    return out;
  };
  for (uint32_t layer = 0; layer < config_.layers; ++layer) {
    const LayerWeights& weights = weights_.layers[layer];
    add(attend(norm_all(weights.attention_norm), layer, adapter));
    const Rows normed = norm_all(weights.mlp_norm);
    Rows gate = project(normed, layer, Projection::kGate, adapter);
    const Rows up = project(normed, layer, Projection::kUp, adapter);
    for (size_t t = 0; t < gate.size(); ++t)
      for (size_t i = 0; i < gate[t].size(); ++i) gate[t][i] *= up[t][i] / (1 + std::exp(-gate[t][i]));
    add(project(gate, layer, Projection::kDown, adapter));
  }
  Rows logits;
  for (const Row& row : norm_all(weights_.final_norm))
    logits.push_back(multiply(head_.n == 0 ? embedding_ : head_, row));
  return logits;
}

std::vector<uint32_t> Model::greedy(std::vector<uint32_t> prompt, uint32_t count, const AdapterWeights* adapter) const {
  const size_t first = prompt.size();
  for (uint32_t i = 0; i < count; ++i) {
    const Row logits = forward(prompt, adapter).back();
    prompt.push_back(static_cast<uint32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
  }
  return {prompt.begin() + static_cast<ptrdiff_t>(first), prompt.end()};
}

}  // namespace polygraft::oracle
