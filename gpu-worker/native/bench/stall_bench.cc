// What the streams of a batch notice of each other: the time between two tokens of streams that decode, while others
// come, on a model shape with random weights.
//
//   stall_bench [--json] [--isa NAME] [--threads N] [--shape 135m|1.1b] [--streams N] [--steps N] [--filter TEXT]
//
// Each case runs in turn in one process, on a batch of its own, and measures so many steps. A step is the time between
// two tokens of every stream that decodes, without the way to the client. Also told: how long the ones that came waited
// for their first token.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "batch/adapter_slots.h"
#include "batch/step_runner.h"
#include "bench/random_model.h"

using namespace polygraft;
using namespace polygraft::bench;

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  bool json = false;
  std::string isa, shape = "135m", filter;
  uint32_t threads = 0, streams = 8, steps = 200;
};

double millis(Clock::duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())))];
}

class Bench {
 public:
  Bench(const Options& options, const BackendOptions& backend_options)
      : options_(options),
        config_(shape_config(options.shape)),
        backend_(create_cpu_backend(backend_options)),
        model_(backend_->upload_model(config_, random_weights(config_, 32), {})),
        kv_(backend_->create_kv_pool(config_, 320)),
        slots_(*backend_, config_, uint64_t{4} << 30),
        adapter_(random_adapter(config_)) {
    for (const char* name : {"hot", "cold"}) leases_[name] = slots_.lease(slots_.attach(adapter_, name));
  }

  // Runs streams that decode without end, and between the steps whatever `between` does.
  void run(const std::string& name, const StepLimits& limits, uint32_t streams,
           const std::function<void(StepRunner&, Report&)>& between) {
    if (name.find(options_.filter) == std::string::npos) return;
    StepRunner runner(config_, *backend_, *model_, *kv_, limits, config_.max_position);
    Report report;
    first_.clear();
    came_.clear();
    for (uint32_t i = 0; i < streams; ++i) submit(runner, report, 32, 1500, "");
    for (int i = 0; i < 20; ++i) runner.step(report);  // all decode now
    came_.clear();
    std::vector<double> gaps;
    uint64_t tokens = 0;
    const auto begin = Clock::now();
    auto last = begin;
    for (uint32_t i = 0; i < options_.steps; ++i) {
      report.clear();
      between(runner, report);
      runner.step(report);
      const auto now = Clock::now();
      gaps.push_back(millis(now - last));
      last = now;
      for (const pg_event& event : report.events) {
        if (event.kind != PG_EVENT_TOKEN) continue;
        ++tokens;
        if (const auto came = came_.find(event.id); came != came_.end()) {
          first_[came->second.second].push_back(millis(now - came->second.first));
          came_.erase(came);
        }
      }
    }
    print(name, gaps, static_cast<double>(tokens) / millis(last - begin) * 1e3);
  }

  void submit(StepRunner& runner, Report& report, uint32_t prompt, uint32_t max_tokens, const std::string& adapter,
              const std::string& kind = "") {
    SequenceOptions options;
    options.id = ++ids_;
    options.prompt.resize(prompt);
    for (uint32_t& token : options.prompt) token = static_cast<uint32_t>(random_engine()) % config_.vocab_size;
    options.max_tokens = max_tokens;
    if (!adapter.empty()) options.adapter = leases_.at(adapter);
    came_[options.id] = {Clock::now(), kind};
    runner.submit(std::move(options), report);
  }
  // Whether one of this kind still waits for its first token.
  bool is_waiting(const std::string& kind) const {
    return std::ranges::any_of(came_, [&kind](const auto& entry) { return entry.second.second == kind; });
  }
  AdapterSlots& slots() { return slots_; }
  const AdapterWeights& adapter() const { return adapter_; }

 private:
  void print(const std::string& name, const std::vector<double>& gaps, double rate) const {
    const double p50 = quantile(gaps, 0.5), p99 = quantile(gaps, 0.99), most = quantile(gaps, 1);
    std::printf(options_.json ? "{\"case\":\"%s\",\"device\":\"%s\",\"shape\":\"%s\",\"gap_p50_ms\":%.2f,"
                                "\"gap_p99_ms\":%.2f,\"gap_max_ms\":%.2f,\"tokens_per_second\":%.0f"
                              : "%-58s %s %s  gap p50 %7.2f  p99 %7.2f  max %7.2f ms  %6.0f tok/s",
                name.c_str(), backend_->device().c_str(), options_.shape.c_str(), p50, p99, most, rate);
    for (const auto& [kind, times] : first_) {
      if (kind.empty()) continue;
      std::printf(options_.json ? ",\"%s_first_token_p50_ms\":%.1f,\"%s_count\":%zu"
                                : "  %s: first token p50 %.1f ms (%s: %zu)",
                  kind.c_str(), quantile(times, 0.5), options_.json ? kind.c_str() : "count", times.size());
    }
    std::printf(options_.json ? "}\n" : "\n");
    std::fflush(stdout);
  }

  const Options options_;
  const ModelConfig config_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<DeviceModel> model_;
  std::unique_ptr<KvPool> kv_;
  AdapterSlots slots_;
  const AdapterWeights adapter_;
  std::map<std::string, AdapterLease> leases_;
  uint64_t ids_ = 0;
  std::map<uint64_t, std::pair<Clock::time_point, std::string>> came_;  // id -> when, and of what kind
  std::map<std::string, std::vector<double>> first_;                    // kind -> times to the first token
};

// A prompt of 1024 tokens is always on its way.
void run_prefill(Bench& bench, uint32_t streams) {
  bench.run(std::to_string(streams) + " streams alone", {}, streams, [](StepRunner&, Report&) {});
  for (const uint32_t most : {32u, 64u, 128u, 256u, 512u}) {
    bench.run(std::to_string(streams) + " streams, prompts of 1024, at most " + std::to_string(most) + " a step",
              {.max_step_tokens = 576, .max_prefill_tokens = most}, streams,
              [&bench](StepRunner& runner, Report& report) {
                if (!bench.is_waiting("prompt")) bench.submit(runner, report, 1024, 1, "", "prompt");
              });
  }
}

// All slots and more are wanted by one adapter; now and then comes a request that belongs to it, or to another one.
void run_hot(Bench& bench) {
  for (const char* adapter : {"hot", "cold"}) {
    uint32_t steps = 0;
    bench.run(std::string("a hot adapter, 32 requests ahead; one of ") + (adapter[0] == 'h' ? "its own" : "a cold one"),
              {.max_sequences = 16}, 0, [&, adapter](StepRunner& runner, Report& report) {
                while (runner.load().running + runner.load().waiting < 48) bench.submit(runner, report, 128, 64, "hot");
                if (++steps > 20 && !bench.is_waiting("one")) bench.submit(runner, report, 128, 1, adapter, "one");
              });
  }
}

// Adapters are packed for the device, and dropped, by another thread.
void run_loads(Bench& bench, uint32_t streams) {
  std::atomic<bool> stop{false};
  std::atomic<uint32_t> loads{0};
  std::thread loader([&] {
    while (!stop) {
      bench.slots().detach(bench.slots().attach(bench.adapter()));
      if (++loads % 100 == 0) std::this_thread::yield();
    }
  });
  bench.run(std::to_string(streams) + " streams, adapters load in the background", {}, streams,
            [](StepRunner&, Report&) {});
  stop = true;
  loader.join();
  std::fprintf(stderr, "%u adapters were loaded meanwhile\n", loads.load());
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--json") {
      options.json = true;
      continue;
    }
    if (i + 1 == argc) {
      std::fprintf(stderr,
                   "usage: stall_bench [--json] [--isa NAME] [--threads N] [--shape 135m|1.1b] [--streams N] "
                   "[--steps N] [--filter TEXT]\n");
      return 2;
    }
    const char* value = argv[++i];
    if (argument == "--isa") options.isa = value;
    if (argument == "--shape") options.shape = value;
    if (argument == "--filter") options.filter = value;
    if (argument == "--threads") options.threads = static_cast<uint32_t>(std::atoi(value));
    if (argument == "--streams") options.streams = static_cast<uint32_t>(std::clamp(std::atoi(value), 1, 60));
    if (argument == "--steps") options.steps = static_cast<uint32_t>(std::max(1, std::atoi(value)));
  }
  BackendOptions backend_options;
  backend_options.isa = options.isa;
  backend_options.threads = options.threads;
  Bench bench(options, backend_options);
  run_prefill(bench, options.streams);
  run_hot(bench);
  run_loads(bench, options.streams);
}
