#include "node/open_worker.h"

#include <cstdio>
#include <utility>

#include "node/class_table.h"
#include "node/engine_handle.h"
#include "node/errors.h"

namespace polygraft::node {
namespace {

std::string text(Napi::Object object, const char* name) {
  const Napi::Value value = object.Get(name);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

// Absent and useless numbers count as 0, which means the default.
uint64_t count(Napi::Object object, const char* name) {
  const Napi::Value value = object.Get(name);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
  return number > 0 && number < 9e15 ? static_cast<uint64_t>(number) : 0;
}

uint32_t small_count(Napi::Object object, const char* name) {
  return static_cast<uint32_t>(std::min<uint64_t>(count(object, name), UINT32_MAX));
}

template <typename Enum, size_t kCount>
bool choose(Napi::Object object, const char* name, const std::pair<const char*, Enum> (&choices)[kCount], Enum& out) {
  const std::string chosen = text(object, name);
  if (chosen.empty()) return true;
  for (const auto& [spelling, value] : choices) {
    if (chosen == spelling) {
      out = value;
      return true;
    }
  }
  const std::string message = std::string(name) + " is unknown: " + chosen;
  engine_error(object.Env(), PG_INVALID_ARGUMENT, name, message.c_str()).ThrowAsJavaScriptException();
  return false;
}

}  // namespace

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
  values.max_queue = small_count(object, "maxQueue");
  values.kv_bytes = count(object, "kvBytes");
  values.adapter_bytes = count(object, "adapterBytes");
  const Napi::Value prefix_cache = object.Get("prefixCache");
  values.no_prefix_cache = prefix_cache.IsBoolean() && !prefix_cache.As<Napi::Boolean>().Value();
  return choose<pg_scheme>(object, "scheme", {{"w4", PG_SCHEME_W4}, {"nf4", PG_SCHEME_NF4}, {"f32", PG_SCHEME_F32}},
                           values.scheme) &&
         choose<pg_activations>(object, "activations", {{"int8", PG_ACTIVATIONS_INT8}, {"f32", PG_ACTIVATIONS_F32}},
                                values.activations);
}

Napi::Promise OpenWorker::run(Napi::Env env, std::unique_ptr<OpenOptions> options, Napi::Value on_progress) {
  auto worker = std::make_unique<OpenWorker>(env, std::move(options), on_progress);
  const Napi::Promise promise = worker->deferred_.Promise();
  worker.release()->Queue();  // deletes itself at its end
  return promise;
}

OpenWorker::OpenWorker(Napi::Env env, std::unique_ptr<OpenOptions> options, Napi::Value on_progress)
    : AsyncProgressWorker(env), deferred_(Napi::Promise::Deferred::New(env)), options_(std::move(options)) {
  if (on_progress.IsFunction()) on_progress_ = Napi::Persistent(on_progress.As<Napi::Function>());
  exit_hook_ = env.AddCleanupHook(&OpenWorker::at_exit, this);
}

OpenWorker::~OpenWorker() {
  if (!exit_hook_.IsEmpty()) exit_hook_.Remove(Env());
  pg_engine_close(engine_);  // only if nobody took it
}

void OpenWorker::at_exit(OpenWorker* self) {
  self->exit_hook_ = {};
  self->abandoned_ = true;
}

void OpenWorker::Execute(const ExecutionProgress& progress) {
  struct Context {
    OpenWorker* self;
    const ExecutionProgress* progress;
  } context{this, &progress};
  const auto report = [](void* user, const char* phase, uint64_t done, uint64_t total) {
    const auto& [self, sink] = *static_cast<Context*>(user);
    if (self->abandoned_) return false;
    OpenProgress line{};
    std::snprintf(line.phase, sizeof(line.phase), "%s", phase);
    line.done = static_cast<double>(done);
    line.total = static_cast<double>(total);
    sink->Send(&line, 1);
    return true;
  };
  pg_engine_open(&options_->values, report, &context, &engine_, &error_);
}

void OpenWorker::OnProgress(const OpenProgress* latest, size_t) {
  if (latest == nullptr || on_progress_.IsEmpty()) return;
  const Napi::Env env = Env();
  on_progress_.Call({Napi::String::New(env, latest->phase), Napi::Number::New(env, latest->done),
                     Napi::Number::New(env, latest->total)});
}

void OpenWorker::OnOK() {
  const Napi::Env env = Env();
  if (engine_ == nullptr) {
    deferred_.Reject(engine_error(env, error_).Value());
    return;
  }
  auto handle = std::make_shared<EngineHandle>(std::exchange(engine_, nullptr));
  const auto external = Napi::External<std::shared_ptr<EngineHandle>>::New(env, &handle);
  deferred_.Resolve(env.GetInstanceData<ClassTable>()->engine.New({external}));
}

}  // namespace polygraft::node
