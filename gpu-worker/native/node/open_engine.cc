#include "node/open_engine.h"

#include <utility>

#include "node/class_table.h"
#include "node/engine_handle.h"
#include "node/errors.h"
#include "node/option_reader.h"
#include "node/progress_worker.h"

namespace polygraft::node {

bool read_open_options(Napi::Object object, OpenOptions& out) {
  out.model_dir = text(object, "modelDir");
  out.cache_dir = text(object, "cacheDir");
  out.isa = text(object, "isa");
  pg_engine_options& values = out.values;
  values.size = sizeof(values);
  values.model_dir = out.model_dir.c_str();
  values.cache_dir = out.cache_dir.empty() ? nullptr : out.cache_dir.c_str();
  values.isa = out.isa.empty() ? nullptr : out.isa.c_str();
  values.group = small_count(object, "group");
  values.head_bits = small_count(object, "headBits");
  values.threads = small_count(object, "threads");
  values.max_context = small_count(object, "maxContext");
  values.max_sequences = small_count(object, "maxSequences");
  values.max_step_tokens = small_count(object, "maxStepTokens");
  values.max_prefill_tokens = small_count(object, "maxPrefillTokens");
  values.max_queue = small_count(object, "maxQueue");
  values.kv_bytes = count(object, "kvBytes");
  values.adapter_bytes = count(object, "adapterBytes");
  values.memory_bytes = count(object, "memoryBytes");
  values.host_adapter_bytes = count(object, "hostAdapterBytes");
  const Napi::Value prefix_cache = object.Get("prefixCache");
  values.no_prefix_cache = prefix_cache.IsBoolean() && !prefix_cache.As<Napi::Boolean>().Value();
  return choose<pg_scheme>(object, "scheme", kSchemes, values.scheme) &&
         choose<pg_activations>(object, "activations", {{"int8", PG_ACTIVATIONS_INT8}, {"f32", PG_ACTIVATIONS_F32}},
                                values.activations) &&
         choose<pg_kv_type>(object, "kvType", {{"f16", PG_KV_F16}, {"f32", PG_KV_F32}, {"int8", PG_KV_INT8}},
                            values.kv_type) &&
         choose<pg_adapter_type>(object, "adapterType", {{"source", PG_ADAPTER_SOURCE}, {"int8", PG_ADAPTER_INT8}},
                                 values.adapter_type);
}

Napi::Promise open_engine(Napi::Env env, std::unique_ptr<OpenOptions> options, Napi::Value on_progress) {
  // Closed by its deleter only if nobody takes it.
  const auto engine = std::make_shared<std::unique_ptr<pg_engine, void (*)(pg_engine*)>>(nullptr, pg_engine_close);
  return ProgressWorker::run(
      env,
      [engine, options = std::shared_ptr<OpenOptions>(std::move(options))](pg_progress progress, void* user,
                                                                          pg_error* error) {
        pg_engine* opened = nullptr;
        const pg_code code = pg_engine_open(&options->values, progress, user, &opened, error);
        engine->reset(opened);
        return code;
      },
      [engine](Napi::Env result_env) -> Napi::Value {
        auto handle = std::make_shared<EngineHandle>(engine->release());
        const auto external = Napi::External<std::shared_ptr<EngineHandle>>::New(result_env, &handle);
        return result_env.GetInstanceData<ClassTable>()->engine.New({external});
      },
      on_progress);
}

}  // namespace polygraft::node
