// Measures polygraft's engine through its C ABI: scheduler, step loop, sampler and reports included.
//
//   polygraft_driver MODEL_DIR THREADS CACHE_DIR f16|int8 ADAPTER_DIR...
//
// f16 or int8: what keys and values are stored as.
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "abi/engine.h"
#include "protocol.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr uint32_t kRoom = 512;  // tokens that a stream may decode over all measurements of a case

// How many steps the engine may take. It calls back after each, on its own thread, and is kept there while it may take
// none: so a case is set up once and then measured in exact numbers of steps.
class Gate {
 public:
  static constexpr uint64_t kFree = std::numeric_limits<uint64_t>::max();

  void on_report(const pg_report& report) {
    std::unique_lock lock(mutex_);
    for (uint32_t i = 0; i < report.event_count; ++i) {
      const uint32_t kind = report.events[i].kind;
      tokens_ += kind == PG_EVENT_TOKEN;
      ended_ += kind == PG_EVENT_FINISHED || kind == PG_EVENT_FAILED;
      failed_ += kind == PG_EVENT_FAILED;
    }
    load_ = report.load;
    last_ = Clock::now();
    if (allowance_ != kFree && allowance_ > 0) --allowance_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return allowance_ > 0; });
  }

  void allow(uint64_t steps) {
    const std::lock_guard lock(mutex_);
    allowance_ = steps;
    changed_.notify_all();
  }
  // Returns when as many steps as were allowed have ended, and when the last one did.
  Clock::time_point await_steps() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return allowance_ == 0; });
    return last_;
  }
  // Returns when so many sequences have ended, and when the last one did.
  Clock::time_point await_ended(uint64_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ >= count; });
    if (failed_ > 0) throw std::runtime_error("the engine failed a sequence");
    return last_;
  }
  void clear_counts() {
    const std::lock_guard lock(mutex_);
    tokens_ = ended_ = failed_ = 0;
  }
  uint64_t tokens() {
    const std::lock_guard lock(mutex_);
    return tokens_;
  }
  pg_load load() {
    const std::lock_guard lock(mutex_);
    return load_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t allowance_ = kFree;
  uint64_t tokens_ = 0, ended_ = 0, failed_ = 0;
  pg_load load_ = {};
  Clock::time_point last_;
};

void check(pg_code code, const pg_error& error) {
  if (code != PG_OK) throw std::runtime_error(error.message);
}

double seconds_between(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

class PolygraftDriver : public peer::Driver {
 public:
  PolygraftDriver(const char* model, uint32_t threads, const char* cache, pg_kv_type kv_type,
                  pg_adapter_type adapter_type, const std::vector<std::string>& adapters) {
    pg_engine_options options = {};
    options.size = sizeof options;
    options.model_dir = model;
    options.cache_dir = cache;
    options.threads = threads;
    options.kv_bytes = uint64_t{2} << 30;
    options.kv_type = kv_type;
    options.adapter_type = adapter_type;
    options.max_prefill_tokens = 512;  // no stream decodes for long while others still prepare
    options.no_prefix_cache = true;  // prompts recur over the rounds: each is to be computed
    pg_error error = {};
    check(pg_engine_open(&options, nullptr, nullptr, &engine_, &error), error);
    info_.size = sizeof info_;
    pg_engine_info(engine_, &info_);
    tokens_ = peer::Tokens(info_.vocabulary_size);
    pg_engine_on_report(
        engine_, [](void* gate, const pg_report* report) { static_cast<Gate*>(gate)->on_report(*report); }, &gate_);
    for (const std::string& dir : adapters) {
      pg_adapter* adapter = nullptr;
      check(pg_adapter_open(engine_, dir.c_str(), &adapter, &error), error);
      slots_.emplace_back();
      check(pg_adapter_attach(engine_, adapter, nullptr, &slots_.back(), &error), error);
      pg_adapter_close(adapter);
    }
  }
  ~PolygraftDriver() override {
    gate_.allow(Gate::kFree);
    pg_engine_close(engine_);
  }

  std::string device() const { return std::string(info_.device) + ", " + info_.weights; }

  std::string setup(const peer::Case& c) override {
    if (c.adapters > slots_.size()) throw std::runtime_error("there are not so many adapters");
    if (c.bases > c.streams) throw std::runtime_error("there are not so many streams");
    case_ = c;
    if (!decoding()) {
      complete(c.kind == "prefill" ? 1 : 2);
      return "";
    }
    plug();
    first_ = next_;
    submit_all(kRoom);
    do {
      gate_.allow(1);
      gate_.await_steps();
    } while (gate_.load().waiting_tokens > 0);
    decode(2);
    return "";
  }

  peer::Measurement measure() override {
    if (decoding()) return decode(case_.tokens);
    return complete(case_.kind == "prefill" ? 1 : case_.tokens);
  }

  void end() override {
    if (!decoding()) return;
    for (uint64_t id = first_; id < next_; ++id) pg_cancel(engine_, id);
    gate_.allow(Gate::kFree);
    gate_.await_ended(case_.streams);
  }

 private:
  bool decoding() const { return case_.kind == "decode"; }

  // Steps of all streams at once, one token each.
  peer::Measurement decode(uint32_t steps) {
    const uint64_t before = gate_.tokens();
    const Clock::time_point start = Clock::now();
    gate_.allow(steps);
    const double seconds = seconds_between(start, gate_.await_steps());
    const uint64_t made = gate_.tokens() - before;
    if (made != uint64_t{steps} * case_.streams)
      throw std::runtime_error("a stream has ended: " + std::to_string(kRoom) + " tokens are the most in all rounds");
    return {made, seconds};
  }

  // New prompts, all the way to the end of their outputs.
  peer::Measurement complete(uint32_t outputs) {
    plug();
    submit_all(outputs);
    const Clock::time_point start = Clock::now();
    gate_.allow(Gate::kFree);
    const double seconds = seconds_between(start, gate_.await_ended(case_.streams));
    return {uint64_t{case_.streams} * (case_.kind == "prefill" ? case_.context : outputs), seconds};
  }

  // A request of one step, at whose end the engine is kept: what is submitted then starts together.
  void plug() {
    gate_.allow(1);
    submit(1, 1, PG_NO_ADAPTER);
    gate_.await_steps();
    gate_.clear_counts();
  }

  void submit_all(uint32_t outputs) {
    const uint32_t adapted = case_.adapters == 0 ? 0 : case_.streams - case_.bases;
    for (uint32_t i = 0; i < case_.streams; ++i)
      submit(case_.context, outputs, i < adapted ? slots_[i % case_.adapters] : PG_NO_ADAPTER);
  }

  void submit(uint32_t prompt_tokens, uint32_t outputs, uint32_t slot) {
    std::vector<uint32_t> prompt(prompt_tokens);
    for (uint32_t& token : prompt) token = tokens_.next();
    pg_request request = {};
    request.size = sizeof request;
    request.id = next_++;
    request.adapter_slot = slot;
    request.prompt = prompt.data();
    request.prompt_count = prompt_tokens;
    request.max_tokens = outputs;
    request.ignore_eos = true;
    request.top_p = 1;
    request.repetition_penalty = 1;
    pg_error error = {};
    check(pg_submit(engine_, &request, &error), error);
  }

  Gate gate_;
  pg_engine* engine_ = nullptr;
  pg_model_info info_ = {};
  std::vector<uint32_t> slots_;
  peer::Tokens tokens_{1};
  peer::Case case_;
  uint64_t first_ = 1, next_ = 1;
};

}  // namespace

int main(int argc, char** argv) {
  const std::string kv_type = argc > 4 ? argv[4] : "", adapter_type = argc > 5 ? argv[5] : "";
  if ((kv_type != "f16" && kv_type != "int8") || (adapter_type != "source" && adapter_type != "int8")) {
    std::fprintf(stderr, "usage: polygraft_driver MODEL_DIR THREADS CACHE_DIR f16|int8 source|int8 ADAPTER_DIR...\n");
    return 2;
  }
  try {
    PolygraftDriver driver(argv[1], static_cast<uint32_t>(std::atoi(argv[2])), argv[3],
                           kv_type == "int8" ? PG_KV_INT8 : PG_KV_F16,
                           adapter_type == "int8" ? PG_ADAPTER_INT8 : PG_ADAPTER_SOURCE, {argv + 6, argv + argc});
    return peer::serve(driver, "polygraft", driver.device());
  } catch (const std::exception& e) {
    peer::say("{\"error\":" + peer::quoted(e.what()) + "}");
    return 1;
  }
}
