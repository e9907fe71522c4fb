#include "batch/sampler.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "batch/philox.h"
#include "test/check.h"

using namespace polygraft;

namespace {

std::vector<float> random_row(size_t size, std::mt19937& random) {
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> row(size);
  for (float& x : row) x = std::round(normal(random) * 4) / 4;  // coarse, so that there are ties
  return row;
}

uint32_t sample(const std::vector<float>& row, const SamplingParams& params, uint64_t position = 0,
                const TokenHistory& history = {}) {
  return Sampler(static_cast<uint32_t>(row.size())).sample(row, params, history, position);
}

// The set that the filters keep, with probabilities: the definition in inference.proto, by a full sort in f64.
std::map<uint32_t, double> kept(const std::vector<float>& row, const SamplingParams& params) {
  std::vector<uint32_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return row[a] > row[b]; });
  if (params.top_k > 0 && params.top_k < order.size()) order.resize(params.top_k);
  const auto weight = [&](uint32_t i) { return std::exp((row[i] - row[order[0]]) / params.temperature); };
  double mass = 0;
  for (const uint32_t i : order) mass += weight(i);
  if (params.top_p < 1) {
    double sum = 0;
    size_t count = 0;
    while (count < order.size() && sum < mass * params.top_p) sum += weight(order[count++]);
    order.resize(count);
  }
  std::erase_if(order, [&](uint32_t i) { return weight(i) < params.min_p; });
  mass = 0;
  for (const uint32_t i : order) mass += weight(i);
  std::map<uint32_t, double> set;
  for (const uint32_t i : order) set[i] = weight(i) / mass;
  return set;
}

}  // namespace

TEST(greedy_takes_the_best_and_the_lowest_of_ties) {
  CHECK_EQ(sample({1, 3, 2, 3}, {}), 1u);
  CHECK_EQ(sample({-5}, {}), 0u);
}

TEST(bias_moves_and_bans) {
  CHECK_EQ(sample({1, 3, 2}, {.bias = {{0, 5}}}), 0u);
  CHECK_EQ(sample({1, 3, 2}, {.bias = {{1, -100}}}), 2u);
  // A ban holds against any logit and any further bias.
  CHECK_EQ(sample({1, 3e4f, 2}, {.bias = {{1, -100}, {1, 100}}}), 2u);
  for (uint64_t position = 0; position < 2000; ++position) {
    CHECK(sample({0, 0, 0}, {.temperature = 10, .bias = {{1, -100}}}, position) != 1u);
  }
}

TEST(penalties_count_prompt_and_output) {
  TokenHistory history;
  history.add_prompt(std::vector<uint32_t>{0, 1});
  // Repetition: positive logits are divided, negative ones multiplied; prompt tokens count.
  CHECK_EQ(sample({4, 1, 3}, {.repetition_penalty = 2}, 0, history), 2u);
  CHECK_EQ(sample({-1, -3, -1.5}, {.repetition_penalty = 2}, 0, history), 2u);
  // Presence and frequency: output only.
  CHECK_EQ(sample({4, 1, 3}, {.presence_penalty = 9}, 0, history), 0u);
  history.add_output(0);
  CHECK_EQ(sample({4, 1, 3}, {.presence_penalty = 1.5f}, 0, history), 2u);
  CHECK_EQ(sample({4, 1, 3}, {.frequency_penalty = 0.9f}, 0, history), 0u);
  history.add_output(0);
  CHECK_EQ(sample({4, 1, 3}, {.frequency_penalty = 0.9f}, 0, history), 2u);
  // A negative penalty favours what was said.
  CHECK_EQ(sample({4, 1, 6}, {.frequency_penalty = -2}, 0, history), 0u);
  // Bias comes first: the penalty divides the biased logit.
  CHECK_EQ(sample({1, 0, 3}, {.repetition_penalty = 2, .bias = {{0, 6}}}, 0, history), 0u);
}

TEST(extreme_values_choose_a_token) {
  TokenHistory history;
  history.add_output(1);
  CHECK_EQ(sample({1, 2, 3}, {.repetition_penalty = 1e-38f}, 0, history), 1u);
  CHECK_EQ(sample({1, 2, 3}, {.temperature = 1e-38f, .repetition_penalty = 1e-38f}, 0, history), 1u);
  CHECK_EQ(sample({1, 2, 3}, {.temperature = 1e-45f}), 2u);
  CHECK_EQ(sample({3e38f, -3e38f, 0}, {.temperature = 1}), 0u);
  CHECK_EQ(sample({1, 2, 3}, {.temperature = 1, .top_p = 1e-30f}), 2u);
  CHECK_EQ(sample({1, 2, 3}, {.temperature = 1, .min_p = 1}), 2u);
}

// Each filter and their combinations keep exactly the tokens that the definition keeps, and draw by its probabilities:
// the token of a draw is the one whose share of the cumulative distribution, in order of ids, holds it.
TEST(filters_and_draws_follow_the_definition) {
  std::mt19937 random(11);
  int edges = 0;
  for (int round = 0; round < 400; ++round) {
    const auto row = random_row(1 + random() % 700, random);
    SamplingParams params;
    params.temperature = 0.25f + static_cast<float>(random() % 8) / 4;
    if (random() % 2) params.top_k = random() % 800;
    if (random() % 2) params.top_p = static_cast<float>(1 + random() % 100) / 101;
    if (random() % 2) params.min_p = static_cast<float>(random() % 50) / 101;
    params.seed = random();
    const auto expected = kept(row, params);
    for (uint64_t position = 0; position < 50; ++position) {
      const uint32_t token = sample(row, params, position);
      REQUIRE(expected.contains(token));
      double before = 0;
      for (const auto& [id, p] : expected) {
        if (id < token) before += p;
      }
      const double u = uniform_draw(params.seed, position);
      // f32 weights: a draw within 1e-6 of a border may fall on either side.
      if (u < before - 1e-6 || u > before + expected.at(token) + 1e-6) ++edges;
    }
  }
  CHECK_EQ(edges, 0);
}

TEST(top_k_cuts_ties_by_id) {
  std::set<uint32_t> seen;
  for (uint64_t position = 0; position < 300; ++position) {
    seen.insert(sample({5, 5, 5, 5}, {.temperature = 1, .top_k = 2}, position));
  }
  CHECK((seen == std::set<uint32_t>{0, 1}));
}

TEST(frequencies_match_the_softmax) {
  const std::vector<float> row = {0, 1, 2, -1};
  double mass = 0;
  for (const float x : row) mass += std::exp(x);
  std::vector<int> counts(row.size());
  const int n = 40000;
  Sampler sampler(4);
  for (int i = 0; i < n; ++i)
    ++counts[sampler.sample(row, {.temperature = 1, .seed = 5}, {}, static_cast<uint64_t>(i))];
  for (size_t i = 0; i < row.size(); ++i) CHECK_NEAR(static_cast<double>(counts[i]) / n, std::exp(row[i]) / mass, 0.01);
}

TEST(a_draw_depends_on_seed_and_position_alone) {
  std::mt19937 random(3);
  const auto row = random_row(500, random);
  const SamplingParams params = {.temperature = 1.5f, .top_p = 0.9f, .seed = 99};
  Sampler used(500);
  for (uint64_t i = 0; i < 20; ++i) used.sample(random_row(500, random), {.temperature = 2, .top_k = 3}, {}, i);
  std::set<uint32_t> tokens;
  for (uint64_t i = 0; i < 50; ++i) {
    CHECK_EQ(used.sample(row, params, {}, i), sample(row, params, i));
    tokens.insert(sample(row, params, i));
  }
  CHECK(tokens.size() > 10);
}
