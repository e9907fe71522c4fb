#include "batch/step_runner.h"

#include <algorithm>
#include <cmath>

#include "test/batch/faulty_backend.h"
#include "test/batch/tiny_engine.h"
#include "test/check.h"

using namespace polygraft;
using namespace polygraft::test;

namespace {

std::vector<uint32_t> tokens_of(const Outcome& outcome) {
  std::vector<uint32_t> tokens;
  for (const pg_event& event : outcome.tokens) tokens.push_back(event.token);
  return tokens;
}

// A runner with blocks of its own.
struct Run {
  Run(TinyEngine& engine, const StepLimits& limits, uint32_t blocks, uint32_t context = kContext)
      : kv(engine.kv_pool(blocks)), runner(engine.config, *engine.backend, *engine.model, *kv, limits, context) {}

  void finish() {
    while (runner.step(report)) {
    }
    collect_now();
  }
  void collect_now() {
    collect(report, outcomes);
    report.clear();
  }

  std::unique_ptr<KvPool> kv;
  StepRunner runner;
  Report report;
  Outcomes outcomes;
};

constexpr uint32_t kTraceContext = 384;

// Adapters that come and go: what was evicted is attached again in another slot.
struct Adapters {
  explicit Adapters(TinyEngine& engine) : engine(engine) {
    weights.push_back(tiny_adapter(engine.config, 1, 4, 0x7f));
    weights.push_back(tiny_adapter(engine.config, 2, 16, 0x05));
    weights.push_back(tiny_adapter(engine.config, 3, 1, 0x70));
    for (size_t i = 0; i < weights.size(); ++i) slots.push_back(attach(i));
  }
  uint32_t attach(size_t i) { return engine.slots.attach(weights[i], "digest " + std::to_string(i)); }
  void reload(size_t i) {
    engine.slots.detach(slots[i]);
    slots[i] = attach(i);
  }

  TinyEngine& engine;
  std::vector<AdapterWeights> weights;
  std::vector<uint32_t> slots;
};

SequenceOptions random_request(uint64_t id, std::mt19937& random, TinyEngine& engine,
                               const std::vector<uint32_t>& slots) {
  // Many outputs outgrow the block that the growth of their sequence was admitted with: that makes preemptions.
  const auto chance = [&](uint32_t one_in) { return random() % one_in == 0; };
  const auto upto = [&](uint32_t most) { return static_cast<uint32_t>(random() % (most + 1)); };
  std::vector<uint32_t> prompt(1 + (chance(4) ? upto(150) : upto(30)));
  for (uint32_t& token : prompt) token = upto(engine.config.vocab_size - 1);
  if (chance(2)) {  // one of two texts that others begin with too
    std::vector<uint32_t> text(64 + upto(100));
    const uint32_t which = upto(1);
    for (uint32_t i = 0; i < text.size(); ++i) text[i] = (which * 31 + i * 7) % 96;
    prompt.insert(prompt.begin(), text.begin(), text.end());
  }
  const auto room = kTraceContext - static_cast<uint32_t>(prompt.size());
  SequenceOptions options = request(id, prompt, std::min(room, chance(2) ? 80 + upto(120) : upto(40)));
  options.cache_bypass = chance(8);
  options.tenant = chance(2) ? "tenant" : "";
  if (chance(4)) options.deadline = upto(1000);
  if (chance(8)) options.cache_salt = "salt";
  if (prompt.size() > 8 && chance(4)) options.resumed = upto(5);
  if (chance(5)) options.stop_ids = {upto(95), upto(95)};
  options.min_tokens = std::min(upto(8), options.max_tokens);
  options.priority = static_cast<int32_t>(upto(2));
  options.logprobs = chance(2);
  options.top_logprobs = chance(3) ? upto(20) : 0;
  options.prompt_logprobs = chance(4);
  if (chance(2)) {
    options.sampling.temperature = 0.5f + static_cast<float>(upto(10)) / 10;
    options.sampling.seed = random();
    if (chance(2)) options.sampling.top_k = upto(40);
    if (chance(2)) options.sampling.top_p = 0.8f;
    if (chance(2)) options.sampling.min_p = 0.02f;
  }
  if (chance(3)) options.sampling.repetition_penalty = 1.3f;
  if (chance(4)) options.sampling.frequency_penalty = 0.4f;
  if (chance(4)) options.sampling.bias = {{upto(95), -100}, {upto(95), 3}};
  if (const uint32_t pick = upto(static_cast<uint32_t>(slots.size())); pick < slots.size()) {
    options.adapter = engine.slots.lease(slots[pick]);
  }
  return options;
}

}  // namespace

TEST(max_tokens_stop_tokens_and_a_full_context_end_a_sequence) {
  TinyEngine engine;
  const auto free_run = tokens_of(engine.alone(request(1, {5, 6, 7}, 12)));
  REQUIRE(free_run.size() == 12);

  SequenceOptions stopped = request(1, {5, 6, 7}, 12);
  stopped.stop_ids = {free_run[4]};
  const Outcome stop = engine.alone(stopped);
  const auto first = static_cast<size_t>(std::find(free_run.begin(), free_run.end(), free_run[4]) - free_run.begin());
  CHECK_EQ(stop.tokens.size(), first + 1);
  CHECK_EQ(stop.last_value, static_cast<uint32_t>(PG_FINISH_STOP_TOKEN));
  stopped.min_tokens = 12;
  CHECK_EQ(engine.alone(stopped).tokens.size(), 12u);

  Run run(engine, {.max_sequences = 2, .max_step_tokens = 64}, 8, 10);
  run.runner.submit(request(1, {5, 6, 7}, 12), run.report);
  run.finish();
  CHECK_EQ(run.outcomes[1].tokens.size(), 7u);
  CHECK_EQ(run.outcomes[1].last_value, static_cast<uint32_t>(PG_FINISH_CONTEXT_FULL));
}

TEST(prompt_scores_are_the_logprobs_of_the_tokens) {
  TinyEngine engine;
  SequenceOptions options = request(1, {3, 1, 4}, 6);
  options.logprobs = true;
  const Outcome generated = engine.alone(options);
  std::vector<uint32_t> text = {3, 1, 4};
  for (const uint32_t token : tokens_of(generated)) text.push_back(token);

  SequenceOptions scored = request(2, text, 0);
  scored.prompt_logprobs = true;
  scored.top_logprobs = 2;
  const Outcome scores = engine.alone(scored);
  CHECK(scores.tokens.empty());
  CHECK_EQ(scores.last_value, static_cast<uint32_t>(PG_FINISH_MAX_TOKENS));
  REQUIRE(scores.scores.size() == text.size());
  CHECK_EQ(scores.scores[0].logprob, 0.0f);
  CHECK_EQ(scores.alternatives.size(), 2 * (text.size() - 1));
  for (size_t i = 0; i < text.size(); ++i) CHECK_EQ(scores.scores[i].token, text[i]);
  // What was generated one by one is what a whole prompt scores, to the bit.
  for (size_t i = 0; i < generated.tokens.size(); ++i) {
    CHECK_EQ(scores.scores[3 + i].logprob, generated.tokens[i].logprob);
    CHECK(generated.tokens[i].logprob < 0);
  }
}

TEST(nothing_to_compute_ends_at_once) {
  TinyEngine engine;
  const Outcome empty = engine.alone(request(1, {1, 2, 3}, 0));
  CHECK(empty.started && empty.tokens.empty() && empty.ends == 1);
  SequenceOptions one = request(1, {9}, 0);
  one.prompt_logprobs = true;
  CHECK_EQ(engine.alone(one).scores.size(), 1u);
}

TEST(a_resumed_stream_goes_on_as_if_undisturbed) {
  TinyEngine engine;
  SequenceOptions whole = request(1, {11, 12, 13, 14}, 30);
  whole.sampling = {.temperature = 1.2f, .repetition_penalty = 1.2f, .frequency_penalty = 0.3f, .seed = 77};
  whole.logprobs = true;
  const Outcome expected = engine.alone(whole);
  REQUIRE(expected.tokens.size() == 30);
  for (const uint32_t delivered : {1u, 7u, 29u, 30u}) {
    SequenceOptions rest = whole;
    for (uint32_t i = 0; i < delivered; ++i) rest.prompt.push_back(expected.tokens[i].token);
    rest.resumed = delivered;
    const Outcome resumed = engine.alone(rest);
    REQUIRE(resumed.tokens.size() == 30 - delivered);
    for (uint32_t i = delivered; i < 30; ++i) {
      CHECK_EQ(resumed.tokens[i - delivered].token, expected.tokens[i].token);
      CHECK_EQ(resumed.tokens[i - delivered].logprob, expected.tokens[i].logprob);
    }
  }
  // Nothing follows a stop token that the caller has already.
  SequenceOptions ended = request(2, {11, 12, 95}, 30);
  ended.resumed = 1;
  ended.stop_ids = {95};
  const Outcome none = engine.alone(ended);
  CHECK(none.tokens.empty());
  CHECK_EQ(none.last_value, static_cast<uint32_t>(PG_FINISH_STOP_TOKEN));
}

TEST(a_cancelled_sequence_leaves_before_the_next_step) {
  TinyEngine engine;
  Run run(engine, {.max_sequences = 2, .max_step_tokens = 64}, 8);
  for (uint64_t id = 1; id <= 3; ++id) run.runner.submit(request(id, {1, 2, 3}, 50), run.report);
  run.runner.step(run.report);
  CHECK_EQ(run.runner.load().running, 2u);
  run.runner.cancel(1, run.report);
  run.runner.cancel(3, run.report);  // still waiting
  run.runner.cancel(99, run.report);
  CHECK_EQ(run.runner.load().kv_blocks_used, 1u);
  run.collect_now();
  CHECK_EQ(run.outcomes[1].last_value, static_cast<uint32_t>(PG_FINISH_CANCELLED));
  CHECK_EQ(run.outcomes[1].tokens.size(), 1u);
  CHECK_EQ(run.outcomes[3].last_value, static_cast<uint32_t>(PG_FINISH_CANCELLED));
  CHECK(!run.outcomes[3].started);
  run.runner.step(run.report);
  CHECK_EQ(run.report.load.step_tokens, 1u);
  run.finish();
  CHECK(!run.outcomes.contains(99));
  CHECK(same(run.outcomes[2], engine.alone(request(2, {1, 2, 3}, 50))));
}

// Runs one request after another.
TEST(a_known_beginning_is_not_computed_again) {
  TinyEngine engine;
  Run run(engine, {.max_sequences = 2, .max_step_tokens = 512}, 24);
  std::vector<uint32_t> text(200);
  for (uint32_t i = 0; i < text.size(); ++i) text[i] = i * 5 % 96;
  uint32_t computed = 0;
  const auto serve = [&](SequenceOptions options) {
    run.runner.submit(options, run.report);
    computed = 0;
    for (; run.runner.step(run.report); run.collect_now()) computed += run.report.load.step_tokens;
    CHECK(same(run.outcomes[options.id], engine.alone(options)));
    return run.outcomes[options.id].cached;
  };
  CHECK_EQ(serve(request(1, text, 1)), 0u);
  CHECK_EQ(computed, 200u);
  CHECK_EQ(run.runner.load().kv_blocks_used, 0u);
  CHECK_EQ(run.runner.load().kv_blocks_cached, 3u);
  CHECK_EQ(serve(request(2, text, 1)), 192u);
  CHECK_EQ(computed, 8u);
  // The last token is computed in any case: its logits choose the next one.
  CHECK_EQ(serve(request(3, {text.begin(), text.begin() + 128}, 1)), 64u);
  CHECK_EQ(serve(request(4, {text.begin(), text.begin() + 129}, 1)), 128u);
  CHECK_EQ(serve(request(5, {text.begin() + 1, text.end()}, 1)), 0u);

  // Output is known too: here, of a turn of a conversation.
  SequenceOptions turn = request(6, {7, 7, 7}, 100);
  CHECK_EQ(serve(turn), 0u);
  std::vector<uint32_t> next = turn.prompt;
  for (const uint32_t token : tokens_of(run.outcomes[6])) next.push_back(token);
  next.push_back(5);
  CHECK_EQ(serve(request(7, next, 10)), 64u);

  // Scores need the logits of all positions.
  SequenceOptions scored = request(8, text, 1);
  scored.prompt_logprobs = true;
  CHECK_EQ(serve(scored), 0u);
  SequenceOptions bypass = request(9, text, 1);
  bypass.cache_bypass = true;
  CHECK_EQ(serve(bypass), 0u);
  SequenceOptions salted = request(10, text, 1);
  salted.cache_salt = std::string("a\0b", 3);
  CHECK_EQ(serve(salted), 0u);
  salted.id = 11;
  CHECK_EQ(serve(salted), 192u);
  salted.id = 12;
  salted.cache_salt = std::string("a\0c", 3);
  CHECK_EQ(serve(salted), 0u);
}

TEST(prefixes_belong_to_the_content_of_an_adapter_and_outlast_its_slot) {
  TinyEngine engine;
  Run run(engine, {.max_sequences = 2, .max_step_tokens = 512}, 32);
  const std::vector<uint32_t> text(150, 3);
  uint64_t id = 0;
  const auto serve = [&](uint32_t slot) {
    SequenceOptions options = request(++id, text, 3);
    options.adapter = engine.slots.lease(slot);
    run.runner.submit(options, run.report);
    run.finish();
    CHECK(same(run.outcomes[id], engine.alone(options)));
    return run.outcomes[id].cached;
  };
  run.runner.submit(request(++id, text, 3), run.report);
  run.finish();
  const AdapterWeights weights = tiny_adapter(engine.config, 1, 4, 0x7f);
  const uint32_t first = engine.slots.attach(weights, "sha256:1");
  CHECK_EQ(serve(first), 0u);
  CHECK_EQ(serve(first), 128u);
  engine.slots.detach(first);
  CHECK_EQ(serve(engine.slots.attach(weights, "sha256:1")), 128u);
  // A new revision is another adapter; so is one of which nobody says what it holds.
  CHECK_EQ(serve(engine.slots.attach(tiny_adapter(engine.config, 2, 4, 0x7f), "sha256:2")), 0u);
  CHECK_EQ(serve(engine.slots.attach(weights)), 0u);
  const uint32_t unnamed = engine.slots.attach(weights);
  CHECK_EQ(serve(unnamed), 0u);
  CHECK_EQ(serve(unnamed), 128u);
}

TEST(cached_blocks_give_way_to_running_sequences) {
  TinyEngine engine;
  Run run(engine, {.max_sequences = 2, .max_step_tokens = 512}, 6);
  run.runner.submit(request(1, std::vector<uint32_t>(300, 1), 1), run.report);
  run.finish();
  CHECK_EQ(run.runner.load().kv_blocks_cached, 4u);
  const SequenceOptions other = request(2, std::vector<uint32_t>(330, 2), 20);
  run.runner.submit(other, run.report);
  run.finish();
  CHECK(same(run.outcomes[2], engine.alone(other)));
  CHECK_EQ(run.runner.scheduler().preemptions(), 0u);
}

// The heart of it: whoever shares the batch, in whatever chunks, with whatever preemptions and cancels around, each
// request returns the bits that it returns alone. And nothing is left behind.
TEST(random_traces_equal_each_request_alone) {
  TinyEngine engine;
  Adapters adapters(engine);
  uint64_t preemptions = 0, cancels = 0, ends = 0, cached = 0, unshared = 0;
  for (uint32_t seed = 0; seed < 12; ++seed) {
    std::mt19937 random(seed);
    std::map<uint64_t, Outcome> expected;
    StepLimits limits;
    limits.max_sequences = 2 + random() % 10;
    limits.max_step_tokens = limits.max_sequences + random() % 70;
    limits.max_scored_rows = 1 + random() % 20;
    limits.prefix_cache = seed % 4 != 3;
    limits.max_prefill_tokens = 1 + random() % 60;
    limits.fair_quantum = 1 + random() % 100;
    limits.patience = random() % 6;
    // Few blocks make preemptions, more of them leave room for prefixes.
    Run run(engine, limits, 6 + random() % (seed % 2 == 0 ? 6 : 40), kTraceContext);
    uint64_t next = 1;
    std::vector<uint64_t> cancelled;
    const uint64_t requests = 80;
    while (next <= requests || !run.runner.idle()) {
      while (next <= requests && random() % 3 != 0) {
        const SequenceOptions options = random_request(next, random, engine, adapters.slots);
        expected[next] = engine.alone(options);
        run.runner.submit(options, run.report);
        ++next;
      }
      if (next > 1 && random() % 60 == 0) {
        const uint64_t id = 1 + random() % (next - 1);
        run.runner.cancel(id, run.report);
      }
      if (random() % 50 == 0) adapters.reload(random() % adapters.slots.size());
      run.runner.step(run.report);
      run.collect_now();
    }
    for (const auto& [id, outcome] : run.outcomes) {
      CHECK_EQ(outcome.ends, 1);
      ++ends;
      (limits.prefix_cache ? cached : unshared) += outcome.cached;
      if (outcome.last_kind == PG_EVENT_FINISHED && outcome.last_value == PG_FINISH_CANCELLED) {
        ++cancels;
        CHECK(is_beginning(outcome, expected.at(id)));
      } else if (!same(outcome, expected.at(id))) {
        check::fail(__FILE__, __LINE__, "seed " + check::show(seed) + ", request " + check::show(id) + " differs");
      }
    }
    CHECK_EQ(run.outcomes.size(), requests);
    CHECK_EQ(run.runner.load().kv_blocks_used, 0u);
    preemptions += run.runner.scheduler().preemptions();
  }
  // The traces did what they are for.
  CHECK(preemptions > 5);
  CHECK(cancels > 10);
  CHECK(ends - cancels > 200);
  CHECK(cached > 2000);
  CHECK_EQ(unshared, 0u);
  for (const uint32_t slot : adapters.slots) engine.slots.detach(slot);
  CHECK_EQ(engine.slots.bytes_used(), 0u);
}

TEST(logits_that_are_not_finite_fail_their_sequence_alone) {
  TinyEngine engine;
  const uint32_t bad = engine.slots.attach(tiny_adapter(engine.config, 1, 4, 0x7f, 1e37f));
  const uint32_t good = engine.slots.attach(tiny_adapter(engine.config, 2, 4, 0x7f));
  Run run(engine, {.max_sequences = 4, .max_step_tokens = 64}, 4);
  SequenceOptions broken = request(1, {1, 2, 3}, 20);
  broken.adapter = engine.slots.lease(bad);
  SequenceOptions scored = broken;
  scored.id = 2;
  scored.prompt_logprobs = true;
  SequenceOptions with_adapter = request(3, {4, 5, 6}, 20);
  with_adapter.adapter = engine.slots.lease(good);
  for (const SequenceOptions& options : {broken, scored, with_adapter, request(4, {7}, 20)}) {
    run.runner.submit(options, run.report);
  }
  run.finish();
  for (const uint64_t id : {1, 2}) {
    CHECK_EQ(run.outcomes[id].last_kind, static_cast<uint32_t>(PG_EVENT_FAILED));
    CHECK_EQ(run.outcomes[id].last_value, static_cast<uint32_t>(PG_DATA_LOSS));
    CHECK(run.outcomes[id].tokens.empty());
  }
  CHECK(same(run.outcomes[3], engine.alone(with_adapter)));
  CHECK(same(run.outcomes[4], engine.alone(request(4, {7}, 20))));
  // The blocks that held NaNs serve others as if new.
  for (uint64_t id = 10; id < 14; ++id)
    run.runner.submit(request(id, {8, 9, static_cast<uint32_t>(id)}, 20), run.report);
  run.finish();
  for (uint64_t id = 10; id < 14; ++id) {
    CHECK(same(run.outcomes[id], engine.alone(request(id, {8, 9, static_cast<uint32_t>(id)}, 20))));
  }
}

TEST(a_backend_error_fails_its_sequence_alone) {
  TinyEngine engine;
  FaultyBackend backend(*engine.backend, 66);
  const auto kv = engine.kv_pool(8);
  StepRunner runner(engine.config, backend, *engine.model, *kv, {.max_sequences = 8, .max_step_tokens = 64}, kContext);
  Report report;
  runner.submit(request(1, {1, 2, 3}, 20), report);
  runner.submit(request(2, {1, 66}, 20), report);
  runner.submit(request(3, {4, 5}, 20), report);
  while (runner.step(report)) {
  }
  Outcomes outcomes;
  collect(report, outcomes);
  CHECK_EQ(outcomes[2].last_kind, static_cast<uint32_t>(PG_EVENT_FAILED));
  CHECK_EQ(outcomes[2].last_value, static_cast<uint32_t>(PG_RESOURCE_EXHAUSTED));
  // Whoever chooses token 66 meets the same fault later; what it said before stands.
  for (const auto& [id, prompt] : {std::pair<uint64_t, std::vector<uint32_t>>{1, {1, 2, 3}}, {3, {4, 5}}}) {
    CHECK(!outcomes[id].tokens.empty());
    CHECK(is_beginning(outcomes[id], engine.alone(request(id, prompt, 20))));
  }
  CHECK_EQ(runner.load().kv_blocks_used, 0u);
}
