#include "node/progress_worker.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "node/errors.h"

namespace polygraft::node {

Napi::Promise ProgressWorker::run(Napi::Env env, Work work, Result result, Napi::Value on_progress) {
  auto worker = std::make_unique<ProgressWorker>(env, std::move(work), std::move(result), on_progress);
  const Napi::Promise promise = worker->deferred_.Promise();
  worker.release()->Queue();  // deletes itself at its end
  return promise;
}

ProgressWorker::ProgressWorker(Napi::Env env, Work work, Result result, Napi::Value on_progress)
    : AsyncProgressWorker(env),
      deferred_(Napi::Promise::Deferred::New(env)),
      work_(std::move(work)),
      result_(std::move(result)) {
  if (on_progress.IsFunction()) on_progress_ = Napi::Persistent(on_progress.As<Napi::Function>());
  exit_hook_ = env.AddCleanupHook(&ProgressWorker::at_exit, this);
}

ProgressWorker::~ProgressWorker() {
  if (!exit_hook_.IsEmpty()) exit_hook_.Remove(Env());
}

// The environment ends: do not make it wait for a whole model.
void ProgressWorker::at_exit(ProgressWorker* self) {
  self->exit_hook_ = {};
  self->stop_ = true;
}

void ProgressWorker::Execute(const ExecutionProgress& progress) {
  struct Context {
    ProgressWorker* self;
    const ExecutionProgress* progress;
  } context{this, &progress};
  const auto report = [](void* user, const char* phase, uint64_t done, uint64_t total) {
    const auto& [self, sink] = *static_cast<Context*>(user);
    if (self->stop_) return false;
    ProgressLine line{};
    std::snprintf(line.phase, sizeof(line.phase), "%s", phase);
    line.done = static_cast<double>(done);
    line.total = static_cast<double>(total);
    sink->Send(&line, 1);
    return true;
  };
  code_ = work_(report, &context, &error_);
}

void ProgressWorker::OnProgress(const ProgressLine* latest, size_t) {
  if (latest == nullptr || on_progress_.IsEmpty()) return;
  const Napi::Env env = Env();
  const Napi::Value answer =
      on_progress_.Call({Napi::String::New(env, latest->phase), Napi::Number::New(env, latest->done),
                         Napi::Number::New(env, latest->total)});
  if (!answer.IsEmpty() && answer.IsBoolean() && !answer.As<Napi::Boolean>().Value()) stop_ = true;
}

void ProgressWorker::OnOK() {
  if (code_ != PG_OK) {
    deferred_.Reject(engine_error(Env(), error_).Value());
    return;
  }
  deferred_.Resolve(result_(Env()));
}

}  // namespace polygraft::node
