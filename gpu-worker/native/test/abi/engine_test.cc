// The whole engine through its C ABI, on the golden models: files in, tokens out.
#include "abi/engine.h"

#include <cmath>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "test/check.h"
#include "test/support/files.h"
#include "test/support/golden.h"

using polygraft::golden::Expected;
using polygraft::golden::GoldenModel;

namespace {

struct Stream {
  std::vector<uint32_t> tokens;
  std::vector<float> scores;
  bool ended = false;
  uint32_t last_kind = 0, last_value = 0;
};

class Engine {
 public:
  explicit Engine(pg_engine_options options) {
    options.size = sizeof(options);
    pg_error error{};
    if (pg_engine_open(&options, nullptr, nullptr, &engine_, &error) != PG_OK) {
      check::fail(__FILE__, __LINE__, error.message);
      throw check::Abort{};
    }
    pg_engine_on_report(engine_, &Engine::on_report, this);
  }
  ~Engine() { pg_engine_close(engine_); }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  pg_engine* get() const { return engine_; }

  uint32_t attach(const std::string& dir) {
    pg_error error{};
    pg_adapter* adapter = nullptr;
    uint32_t slot = PG_NO_ADAPTER;
    if (pg_adapter_open(engine_, dir.c_str(), &adapter, &error) != PG_OK ||
        pg_adapter_attach(engine_, adapter, nullptr, &slot, &error) != PG_OK) {
      check::fail(__FILE__, __LINE__, dir + ": " + error.message);
    }
    pg_adapter_close(adapter);
    return slot;
  }

  pg_request request(uint64_t id, const std::vector<uint32_t>& prompt, uint32_t max_tokens, uint32_t slot) const {
    pg_request request{};
    request.size = sizeof(request);
    request.id = id;
    request.adapter_slot = slot;
    request.prompt = prompt.data();
    request.prompt_count = static_cast<uint32_t>(prompt.size());
    request.max_tokens = max_tokens;
    request.ignore_eos = true;
    request.top_p = 1;
    request.repetition_penalty = 1;
    return request;
  }

  void submit(const pg_request& request) {
    pg_error error{};
    if (pg_submit(engine_, &request, &error) != PG_OK) check::fail(__FILE__, __LINE__, error.message);
  }

  Stream end_of(uint64_t id) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return streams_[id].ended; });
    return streams_[id];
  }

 private:
  static void on_report(void* user, const pg_report* report) {
    auto* const self = static_cast<Engine*>(user);
    const std::lock_guard lock(self->mutex_);
    for (uint32_t i = 0; i < report->event_count; ++i) {
      const pg_event& event = report->events[i];
      Stream& stream = self->streams_[event.id];
      if (event.kind == PG_EVENT_TOKEN) stream.tokens.push_back(event.token);
      if (event.kind == PG_EVENT_PROMPT_SCORE) stream.scores.push_back(event.logprob);
      stream.ended = event.kind == PG_EVENT_FINISHED || event.kind == PG_EVENT_FAILED;
      stream.last_kind = event.kind;
      stream.last_value = event.value;
    }
    self->changed_.notify_all();
  }

  pg_engine* engine_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, Stream> streams_;
};

pg_engine_options exact(const GoldenModel& model) {
  pg_engine_options options{};
  options.model_dir = model.dir.c_str();
  options.scheme = PG_SCHEME_F32;
  options.threads = 2;
  options.max_step_tokens = 64;
  return options;
}

// ln p of a token from reference logits, in f64.
double logprob(const std::vector<float>& logits, uint32_t token) {
  double top = -1e30, sum = 0;
  for (const float x : logits) top = std::max(top, static_cast<double>(x));
  for (const float x : logits) sum += std::exp(x - top);
  return logits[token] - top - std::log(sum);
}

}  // namespace

// Every golden model: all prompts with all its adapters and without, all in one batch.
TEST(golden_streams_and_scores_of_every_family_in_one_batch) {
  for (const GoldenModel& model : polygraft::golden::models()) {
    Engine engine(exact(model));
    std::map<uint64_t, std::pair<const Expected*, std::vector<uint32_t>>> running;
    uint64_t id = 0;
    for (const auto& [adapter, cases] : model.expected) {
      const uint32_t slot = adapter == "base" ? PG_NO_ADAPTER : engine.attach(model.adapter_dir(adapter));
      for (const Expected& expected : cases) {
        running[++id] = {&expected, expected.prompt};
        pg_request request =
            engine.request(id, running[id].second, static_cast<uint32_t>(expected.greedy.size()), slot);
        request.prompt_logprobs = true;
        engine.submit(request);
      }
    }
    CHECK(id > 0);
    for (const auto& [key, work] : running) {
      const Stream stream = engine.end_of(key);
      const Expected& expected = *work.first;
      CHECK_EQ(stream.last_kind, static_cast<uint32_t>(PG_EVENT_FINISHED));
      CHECK(stream.tokens == expected.greedy);
      REQUIRE(stream.scores.size() == expected.prompt.size());
      for (size_t i = 1; i < expected.prompt.size(); ++i) {
        CHECK_NEAR(stream.scores[i], logprob(expected.logits[i - 1], expected.prompt[i]), 2e-4);
      }
    }
    pg_load load{};
    pg_engine_load(engine.get(), &load);
    CHECK_EQ(load.kv_blocks_used, 0u);
  }
}

TEST(info_and_errors) {
  const GoldenModel& model = polygraft::golden::models().front();
  Engine engine(exact(model));
  pg_model_info info{};
  info.size = sizeof(info);
  pg_engine_info(engine.get(), &info);
  CHECK_EQ(std::string(info.weights), "f32");
  CHECK_EQ(std::string(info.warning), "");
  CHECK_EQ(std::string(info.digest).substr(0, 7), "sha256:");
  CHECK(info.weight_bytes > 0 && info.kv_bytes > 0 && info.kv_blocks > 0);

  pg_error error{};
  pg_adapter* adapter = nullptr;
  CHECK_EQ(pg_adapter_open(engine.get(), "/nowhere/at/all", &adapter, &error), PG_NOT_FOUND);
  CHECK(adapter == nullptr);
  CHECK_EQ(pg_adapter_open(engine.get(), nullptr, &adapter, &error), PG_INVALID_ARGUMENT);
  CHECK_EQ(pg_submit(engine.get(), nullptr, &error), PG_INVALID_ARGUMENT);
  pg_cancel(engine.get(), 12345);

  // An adapter that was opened for one model cannot be attached to another.
  const GoldenModel& other_model = polygraft::golden::models().back();
  Engine other(exact(other_model));
  REQUIRE(!other_model.adapters.empty());
  REQUIRE(pg_adapter_open(other.get(), other_model.adapter_dir(other_model.adapters[0]).c_str(), &adapter, &error) ==
          PG_OK);
  uint32_t slot = 0;
  CHECK_EQ(pg_adapter_attach(engine.get(), adapter, nullptr, &slot, &error), PG_FAILED_PRECONDITION);
  pg_adapter_close(adapter);
}

TEST(opening_can_be_cancelled) {
  const GoldenModel& model = polygraft::golden::models().front();
  pg_engine_options options = exact(model);
  options.size = sizeof(options);
  pg_engine* engine = nullptr;
  pg_error error{};
  const auto stop = [](void*, const char*, uint64_t, uint64_t) { return false; };
  CHECK_EQ(pg_engine_open(&options, stop, nullptr, &engine, &error), PG_CANCELLED);
  CHECK(engine == nullptr);
}

// A quantized model, cached on disk, with adapters that come and go while streams run.
TEST(adapters_come_and_go_under_load) {
  const GoldenModel& model = polygraft::golden::models().front();
  const polygraft::files::TempDir cache;
  REQUIRE(!model.adapters.empty());
  std::vector<std::vector<uint32_t>> rounds;
  for (int round = 0; round < 2; ++round) {
    pg_engine_options options = exact(model);
    options.scheme = PG_SCHEME_W4;
    options.cache_dir = cache.path().c_str();  // the second engine reads what the first one quantized
    Engine engine(options);
    const std::vector<uint32_t> prompt = model.expected.at("base").front().prompt;
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        for (uint64_t i = 0; i < 8; ++i) {
          const uint32_t slot = engine.attach(model.adapter_dir(model.adapters[i % model.adapters.size()]));
          engine.submit(engine.request(t * 100 + i, prompt, 12, slot));
          pg_error error{};
          CHECK_EQ(pg_adapter_detach(engine.get(), slot, &error), PG_OK);
          if (i % 3 == 2) pg_cancel(engine.get(), t * 100 + i);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (uint64_t i = 0; i < 8; ++i) {
      std::vector<uint32_t> first = engine.end_of(i).tokens;
      for (uint64_t t = 1; t < 3; ++t) {
        const std::vector<uint32_t> tokens = engine.end_of(t * 100 + i).tokens;
        if (i % 3 != 2) CHECK(tokens == first);
      }
      if (i % 3 != 2) rounds.push_back(std::move(first));
    }
    pg_load load{};
    pg_engine_load(engine.get(), &load);
    CHECK_EQ(load.adapter_bytes_used, 0u);
  }
  for (size_t i = 0; i < rounds.size() / 2; ++i) CHECK(rounds[i] == rounds[i + rounds.size() / 2]);
}
