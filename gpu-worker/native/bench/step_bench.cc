// How many tokens a second the whole forward pass makes, on a model shape with random weights.
//
//   step_bench [--json] [--isa NAME] [--threads N] [--shape 135m|1.1b] [--group 32|64|128] [--steps N]
//              [--adapter-type source|int8] [--filter TEXT]
//
// Decoding: every sequence adds one token a step, at a context of 128 or 1024, without adapters or with eight of rank 16
// (bf16 or int8, all projections) in turn. Prefill: one prompt of 512 tokens. Median and best step, and beside the wall time the
// CPU time of all threads: on a busy machine, that with --threads 1 is what can be compared.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "bench/random_model.h"
#include "model/graph.h"

using namespace polygraft;
using namespace polygraft::bench;

namespace {

struct Options {
  bool json = false;
  std::string isa, shape = "135m", filter, adapter_type = "source";
  uint32_t threads = 0, group = 32, steps = 15;
};

class Bench {
 public:
  Bench(const Options& options, const BackendOptions& backend_options)
      : options_(options),
        config_(shape_config(options.shape)),
        backend_(create_cpu_backend(backend_options)),
        model_(backend_->upload_model(config_, random_weights(config_, options.group), {})),
        graph_(config_, *backend_, *model_, 512),
        kv_(backend_->create_kv_pool(config_, 32 * 17)) {
    const AdapterWeights adapter = random_adapter(config_);
    for (int i = 0; i < 8; ++i) adapters_.push_back(backend_->upload_adapter(config_, adapter));
  }

  // `sequences` that each compute `count` tokens after `context` others.
  void run(const std::string& name, uint32_t sequences, uint32_t context, uint32_t count, bool adapted) {
    if (name.find(options_.filter) == std::string::npos) return;
    std::vector<std::vector<uint32_t>> blocks(sequences);
    std::vector<SequenceSpan> spans;
    std::vector<uint32_t> tokens, output_rows;
    uint32_t next_block = 0;
    for (uint32_t s = 0; s < sequences; ++s) {
      for (uint32_t t = 0; t < context + count; t += kKvBlockTokens) blocks[s].push_back(next_block++);
      spans.push_back({.first_row = s * count,
                       .count = count,
                       .first_position = context,
                       .kv_blocks = blocks[s],
                       .adapter = adapted ? adapters_[s % adapters_.size()].get() : nullptr});
      for (uint32_t t = 0; t < count; ++t) tokens.push_back(static_cast<uint32_t>(random_engine()) % config_.vocab_size);
      output_rows.push_back((s + 1) * count - 1);
    }
    const StepBatch batch{.tokens = tokens, .sequences = spans, .output_rows = output_rows};
    std::vector<double> seconds, cpu_seconds;
    for (uint32_t step = 0; step < options_.steps + 2; ++step) {
      const std::clock_t cpu_start = std::clock();
      const auto start = std::chrono::steady_clock::now();
      graph_.forward(batch, *kv_);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      if (step < 2) continue;
      seconds.push_back(took.count());
      cpu_seconds.push_back(static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC);
    }
    std::sort(seconds.begin(), seconds.end());
    std::sort(cpu_seconds.begin(), cpu_seconds.end());
    const double median = seconds[seconds.size() / 2], best = seconds[0], cpu = cpu_seconds[0];
    const double all = static_cast<double>(tokens.size());
    std::printf(options_.json
                    ? "{\"case\":\"%s\",\"device\":\"%s\",\"shape\":\"%s\",\"group\":%u,\"ms\":%.3f,\"best_ms\":%.3f,"
                      "\"best_cpu_ms\":%.3f,\"tokens_per_second\":%.1f,\"tokens_per_cpu_second\":%.1f}\n"
                    : "%-42s %-11s %-5s g%-3u %8.2f ms (best %8.2f, cpu %8.2f) %8.1f tok/s (%8.1f a cpu second)\n",
                name.c_str(), backend_->device().c_str(), options_.shape.c_str(), options_.group, median * 1e3, best * 1e3,
                cpu * 1e3, all / median, all / cpu);
    std::fflush(stdout);
  }

 private:
  const Options options_;
  const ModelConfig config_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<DeviceModel> model_;
  Graph graph_;
  std::unique_ptr<KvPool> kv_;
  std::vector<std::unique_ptr<DeviceAdapter>> adapters_;
};

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
                   "usage: step_bench [--json] [--isa NAME] [--threads N] [--shape 135m|1.1b] [--group N] [--steps N] "
                   "[--adapter-type source|int8] [--filter TEXT]\n");
      return 2;
    }
    const char* value = argv[++i];
    if (argument == "--isa") options.isa = value;
    if (argument == "--shape") options.shape = value;
    if (argument == "--filter") options.filter = value;
    if (argument == "--adapter-type") options.adapter_type = value;
    if (argument == "--threads") options.threads = static_cast<uint32_t>(std::atoi(value));
    if (argument == "--group") options.group = static_cast<uint32_t>(std::atoi(value));
    if (argument == "--steps") options.steps = static_cast<uint32_t>(std::max(1, std::atoi(value)));
  }
  BackendOptions backend_options;
  backend_options.isa = options.isa;
  backend_options.threads = options.threads;
  if (options.adapter_type == "int8") backend_options.adapters = PG_ADAPTER_INT8;
  Bench bench(options, backend_options);
  bench.run("decode 1 stream, context 128", 1, 128, 1, false);
  bench.run("decode 8 streams, context 128", 8, 128, 1, false);
  bench.run("decode 32 streams, context 128", 32, 128, 1, false);
  bench.run("decode 1 stream, context 1024", 1, 1024, 1, false);
  bench.run("decode 8 streams, context 1024", 8, 1024, 1, false);
  bench.run("decode 1 stream, 1 adapter, context 128", 1, 128, 1, true);
  bench.run("decode 8 streams, 8 adapters, context 128", 8, 128, 1, true);
  bench.run("decode 32 streams, 8 adapters, context 128", 32, 128, 1, true);
  bench.run("prefill 512", 1, 0, 512, false);
  bench.run("prefill 8 x 64, 8 adapters", 8, 0, 64, true);
}
