#include "batch/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "batch/philox.h"
#include "batch/row_math.h"

namespace polygraft {
namespace {

constexpr float kDropped = -std::numeric_limits<float>::infinity();
// Tokens are put into buckets by their distance from the best: 1/32 nat wide, the last one takes all the rest.
constexpr uint32_t kBuckets = 1024;
constexpr float kBucketsPerNat = 32.0f;
constexpr size_t kChunk = 256;

uint32_t bucket_of(float scaled) {
  const float distance = -scaled * kBucketsPerNat;
  return distance < static_cast<float>(kBuckets - 1) ? static_cast<uint32_t>(distance) : kBuckets - 1;
}

}  // namespace

Sampler::Sampler(uint32_t vocabulary_size) : logits_(vocabulary_size), weights_(vocabulary_size), buckets_(kBuckets) {}

uint32_t Sampler::sample(std::span<const float> logits, const SamplingParams& params, const TokenHistory& history,
                         uint64_t position) {
  const bool changed = !params.bias.empty() || params.penalizes();
  if (params.temperature == 0 && !changed) return argmax(logits);
  std::copy(logits.begin(), logits.end(), logits_.begin());
  if (changed) change_logits(params, history);
  if (params.temperature == 0) return argmax(logits_);
  scale(params.temperature);
  if (params.top_k > 0 && params.top_k < logits_.size()) keep_top_k(params.top_k);
  if (params.top_p < 1) keep_top_p(params.top_p);
  if (params.min_p > 0) drop_below(params.min_p);
  return draw(uniform_draw(params.seed, position));
}

void Sampler::change_logits(const SamplingParams& params, const TokenHistory& history) {
  for (const auto& [token, bias] : params.bias) logits_[token] = bias <= kBanBias ? kDropped : logits_[token] + bias;
  if (!params.penalizes()) return;
  for (const auto& [token, outputs] : history.outputs()) {
    float& x = logits_[token];
    x = x > 0 ? x / params.repetition_penalty : x * params.repetition_penalty;
    x = std::min(x, std::numeric_limits<float>::max());  // a penalty near 0 must not make an infinity
    if (outputs == 0) continue;
    x -= params.frequency_penalty * static_cast<float>(outputs);
    x -= params.presence_penalty;
  }
}

void Sampler::scale(float temperature) {
  const float best = max_value(logits_);
  // The difference first: a tiny temperature then overflows to "dropped", never to NaN.
  for (float& x : logits_) x = (x - best) / temperature;
  exp_nonpositive(logits_, weights_);
}

void Sampler::keep_top_k(uint32_t k) {
  keep_prefix([](uint32_t) { return 1.0; }, k);
}

void Sampler::keep_top_p(float p) {
  keep_prefix([this](uint32_t token) { return static_cast<double>(weights_[token]); }, kept_mass() * p);
}

void Sampler::drop_below(float min_p) {
  // The best token weighs 1 and is always kept.
  for (size_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] < min_p) weights_[i] = 0;
  }
}

// Keeps the shortest run of tokens, in order of falling logit and rising id, whose measures add up to `target`. Only
// the bucket in which the run ends is sorted: all before it stay, all behind it go, in whatever order.
template <typename Measure>
void Sampler::keep_prefix(Measure measure, double target) {
  const auto size = static_cast<uint32_t>(logits_.size());
  std::fill(buckets_.begin(), buckets_.end(), 0.0);
  for (uint32_t i = 0; i < size; ++i) {
    if (logits_[i] != kDropped) buckets_[bucket_of(logits_[i])] += measure(i);
  }
  double before = 0;
  uint32_t last = 0;
  while (last < kBuckets && before + buckets_[last] < target) before += buckets_[last++];
  if (last == kBuckets) return;

  boundary_.clear();
  for (uint32_t i = 0; i < size; ++i) {
    if (logits_[i] == kDropped) continue;
    const uint32_t bucket = bucket_of(logits_[i]);
    if (bucket == last) boundary_.push_back(i);
    if (bucket > last) logits_[i] = kDropped, weights_[i] = 0;
  }
  std::sort(boundary_.begin(), boundary_.end(),
            [this](uint32_t a, uint32_t b) { return logits_[a] != logits_[b] ? logits_[a] > logits_[b] : a < b; });
  for (const uint32_t token : boundary_) {
    if (before >= target) {
      logits_[token] = kDropped;
      weights_[token] = 0;
    }
    before += measure(token);
  }
}

// Weights add up in chunks, so that a draw looks into one of them only.
double Sampler::kept_mass() {
  const std::span<const float> weights = weights_;
  chunk_masses_.clear();
  for (size_t first = 0; first < weights.size(); first += kChunk) {
    chunk_masses_.push_back(sum(weights.subspan(first, std::min(kChunk, weights.size() - first))));
  }
  double mass = 0;
  for (const double chunk : chunk_masses_) mass += chunk;
  return mass;
}

// Inverse of the cumulative distribution in order of rising id.
uint32_t Sampler::draw(double uniform) {
  const double target = uniform * kept_mass();
  double before = 0, behind = 0;  // mass before the chosen chunk, and with it
  size_t chunk = 0;
  for (size_t i = 0; i < chunk_masses_.size() && behind <= target; ++i) {
    if (chunk_masses_[i] == 0) continue;
    chunk = i;
    before = behind;
    behind += chunk_masses_[i];
  }
  // The same sum in another order may end a rounding short of the target: the last token of the chunk is meant then.
  const size_t end = std::min((chunk + 1) * kChunk, weights_.size());
  uint32_t chosen = 0;
  for (size_t i = chunk * kChunk; i < end; ++i) {
    if (weights_[i] == 0) continue;
    chosen = static_cast<uint32_t>(i);
    before += static_cast<double>(weights_[i]);
    if (before > target) break;
  }
  return chosen;
}

}  // namespace polygraft
