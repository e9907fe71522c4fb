// The C ABI over model, backend and step loop.
#include "abi/engine.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "abi/boundary.h"
#include "abi/engine_plan.h"
#include "abi/memory_plan.h"
#include "abi/request.h"
#include "batch/adapter_slots.h"
#include "batch/engine_loop.h"
#include "batch/step_runner.h"
#include "model/backend.h"
#include "model/error.h"
#include "model/loader.h"

namespace polygraft {
namespace {

// Logits of scored prompt rows are held at once; this bounds their memory, not below a useful chunk.
constexpr uint64_t kScoredLogitBytes = uint64_t{32} << 20;
constexpr uint32_t kMinScoredRows = 8, kMaxScoredRows = 64;

uint32_t scored_rows(const ModelConfig& config) {
  const uint64_t rows = kScoredLogitBytes / (uint64_t{config.vocab_size} * sizeof(float));
  return static_cast<uint32_t>(std::clamp<uint64_t>(rows, kMinScoredRows, kMaxScoredRows));
}

LoadProgress load_progress(pg_progress progress, void* user) {
  return [progress, user](const char* phase, uint64_t done, uint64_t total) {
    return progress == nullptr || progress(user, phase, done, total);
  };
}

}  // namespace
}  // namespace polygraft

using namespace polygraft;

// Members end in reverse order: the loop's thread first, the backend that all others use last.
struct pg_engine {
  EngineOptions options;
  ModelConfig config;
  std::string digest, device, warning, weights;
  KvPlan plan;
  MemoryPlan memory;  // all zero without a plan
  uint64_t kv_block_bytes = 0;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<DeviceModel> model;
  std::unique_ptr<KvPool> kv;
  std::unique_ptr<AdapterSlots> slots;
  std::unique_ptr<StepRunner> runner;
  std::unique_ptr<EngineLoop> loop;
};

struct pg_adapter {
  AdapterWeights weights;
  std::string model_digest;  // of the engine that checked it
  pg_adapter_info info{};
};

namespace {

// Now that it is known what the weights take.
void plan_from_memory(pg_engine& engine) {
  EngineOptions& options = engine.options;
  engine.memory = plan_memory(options, engine.config, engine.model->bytes(), engine.kv_block_bytes);
  options.kv_bytes = engine.memory.kv;
  options.adapter_bytes = engine.memory.adapters;
  engine.plan = plan_kv(options, engine.config, engine.kv_block_bytes);
}

std::unique_ptr<pg_engine> open_engine(const pg_engine_options& given, const LoadProgress& progress) {
  auto engine = std::make_unique<pg_engine>();
  engine->options = check_options(given);
  EngineOptions& options = engine->options;
  engine->backend = create_cpu_backend(options.backend);
  // What contradicts the model is refused before seconds are spent on its weights.
  engine->config = read_model_config(options.model_dir);
  engine->kv_block_bytes = engine->backend->kv_block_bytes(engine->config);
  options.step.max_scored_rows = scored_rows(engine->config);
  if (options.memory_bytes == 0) {
    engine->plan = plan_kv(options, engine->config, engine->kv_block_bytes);
  } else {
    plan_memory(options, engine->config, 0, engine->kv_block_bytes);
  }

  LoadedModel loaded = load_model(options.model_dir, options.quantize, options.cache_dir, progress);
  engine->config = loaded.config;
  engine->digest = output_digest(loaded.digest, options.backend);
  engine->weights = weights_name(loaded.weights);
  engine->model = engine->backend->upload_model(engine->config, std::move(loaded.weights),
                                                [&progress](uint64_t done, uint64_t total) {
                                                  if (!progress("pack", done, total))
                                                    throw Error(PG_CANCELLED, "", "opening the engine was cancelled");
                                                });
  if (options.memory_bytes != 0) plan_from_memory(*engine);
  engine->device = engine->backend->device();
  engine->warning = engine->backend->warning();
  engine->kv = engine->backend->create_kv_pool(engine->config, engine->plan.blocks);
  engine->slots = std::make_unique<AdapterSlots>(*engine->backend, engine->config, options.adapter_bytes);
  engine->runner = std::make_unique<StepRunner>(engine->config, *engine->backend, *engine->model, *engine->kv,
                                                options.step, engine->plan.context);
  engine->loop =
      std::make_unique<EngineLoop>(*engine->runner, *engine->slots, options.step.max_sequences + options.max_queue);
  return engine;
}

pg_adapter_info describe(const AdapterWeights& weights, const pg_engine& engine) {
  pg_adapter_info info{};
  info.rank = weights.max_rank;
  for (size_t i = 0; i < weights.modules.size(); ++i) {
    const AdapterModule& module = weights.modules[i];
    if (module.rank == 0) continue;
    ++info.module_count;
    info.target_mask |= 1u << (i % std::size(kProjectionNames));
    info.host_bytes += module.a.size() + module.b.size();
  }
  info.device_bytes = engine.backend->adapter_bytes(engine.config, weights);
  std::snprintf(info.base_model, sizeof(info.base_model), "%s", weights.base_model.c_str());
  return info;
}

}  // namespace

extern "C" {

pg_code pg_engine_open(const pg_engine_options* options, pg_progress progress, void* user, pg_engine** out,
                       pg_error* error) {
  return guarded(error, [&] {
    *required(out, "out") = nullptr;
    *out = open_engine(read_struct(options, "options"), load_progress(progress, user)).release();
  });
}

void pg_engine_close(pg_engine* engine) { delete engine; }

void pg_engine_info(const pg_engine* engine, pg_model_info* out) {
  const ModelConfig& config = engine->config;
  const EngineOptions& options = engine->options;
  pg_model_info info{};
  info.architecture = config.architecture.c_str();
  info.digest = engine->digest.c_str();
  info.device = engine->device.c_str();
  info.weights = engine->weights.c_str();
  info.vocabulary_size = config.vocab_size;
  info.context_length = engine->plan.context;
  info.hidden_size = config.hidden_size;
  info.layers = config.layers;
  info.kv_blocks = engine->plan.blocks;
  info.kv_block_tokens = kKvBlockTokens;
  info.weight_bytes = engine->model->bytes();
  info.kv_bytes = engine->plan.blocks * engine->kv_block_bytes;
  info.adapter_bytes = options.adapter_bytes;
  info.max_sequences = options.step.max_sequences;
  info.max_step_tokens = options.step.max_step_tokens;
  info.max_queue = options.max_queue;
  info.eos_count = static_cast<uint32_t>(std::min(config.eos_token_ids.size(), std::size(info.eos_token_ids)));
  std::copy_n(config.eos_token_ids.begin(), info.eos_count, info.eos_token_ids);
  info.bos_token_id = config.bos_token_id;
  info.host_adapter_bytes = engine->memory.host_adapters;
  info.scratch_bytes = scratch_bytes(options.step, config);
  info.process_bytes = engine->memory.process;
  info.warning = engine->warning.c_str();
  write_struct(out, info);
}

pg_code pg_adapter_open(pg_engine* engine, const char* dir, pg_adapter** out, pg_error* error) {
  return guarded(error, [&] {
    *required(out, "out") = nullptr;
    auto adapter = std::make_unique<pg_adapter>();
    adapter->weights = load_adapter(required(dir, "dir"), engine->config);
    adapter->model_digest = engine->digest;
    adapter->info = describe(adapter->weights, *engine);
    *out = adapter.release();
  });
}

void pg_adapter_get_info(const pg_adapter* adapter, pg_adapter_info* out) { write_struct(out, adapter->info); }

void pg_adapter_close(pg_adapter* adapter) { delete adapter; }

pg_code pg_adapter_attach(pg_engine* engine, const pg_adapter* adapter, const char* digest, uint32_t* slot,
                          pg_error* error) {
  return guarded(error, [&] {
    required(slot, "slot");
    if (required(adapter, "adapter")->model_digest != engine->digest) {
      throw Error(PG_FAILED_PRECONDITION, "adapter",
                  "the adapter was opened for another model: open it with this engine");
    }
    *slot = engine->slots->attach(adapter->weights, digest != nullptr ? digest : "");
  });
}

pg_code pg_adapter_detach(pg_engine* engine, uint32_t slot, pg_error* error) {
  return guarded(error, [&] { engine->slots->detach(slot); });
}

pg_code pg_adapter_alias(pg_engine* engine, uint32_t slot, uint32_t* alias, pg_error* error) {
  return guarded(error, [&] { *required(alias, "alias") = engine->slots->alias(slot); });
}

pg_code pg_adapter_replace(pg_engine* engine, uint32_t slot, uint32_t by, pg_error* error) {
  return guarded(error, [&] {
    engine->slots->replace(slot, by);
    engine->loop->wake();  // what was parked may not be any more
  });
}

pg_code pg_adapter_park(pg_engine* engine, uint32_t slot, pg_error* error) {
  return guarded(error, [&] { engine->slots->park(slot); });
}

pg_code pg_adapter_resume(pg_engine* engine, const pg_adapter* adapter, uint32_t slot, pg_error* error) {
  return guarded(error, [&] {
    engine->slots->resume(slot, required(adapter, "adapter")->weights);
    engine->loop->wake();
  });
}

void pg_engine_on_report(pg_engine* engine, pg_on_report callback, void* user) {
  engine->loop->on_report(callback, user);
}

pg_code pg_submit(pg_engine* engine, const pg_request* request, pg_error* error) {
  return guarded(error, [&] {
    engine->loop->submit(
        check_request(read_struct(request, "request"), engine->config, engine->plan.context, *engine->slots));
  });
}

void pg_cancel(pg_engine* engine, uint64_t id) {
  guarded(nullptr, [&] { engine->loop->cancel(id); });
}

void pg_engine_load(const pg_engine* engine, pg_load* out) { *out = engine->loop->load(); }

}  // extern "C"
