// A long call of the engine on another thread, with progress.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "abi/engine.h"
#include "node/napi_api.h"

namespace polygraft::node {

// A line of progress, cut to a fixed size so that it can be handed over by copy.
struct ProgressLine {
  char phase[32];
  double done, total;
};

class ProgressWorker : public Napi::AsyncProgressWorker<ProgressLine> {
 public:
  // The call, on another thread; it hands `progress` and `user` on to the engine.
  using Work = std::function<pg_code(pg_progress progress, void* user, pg_error* error)>;
  // What the promise becomes, on the JavaScript thread, if the call succeeded.
  using Result = std::function<Napi::Value(Napi::Env)>;

  // `on_progress(phase, done, total)` may be undefined. When the environment ends, or `on_progress` returns false, the
  // call is stopped at its next progress.
  static Napi::Promise run(Napi::Env env, Work work, Result result, Napi::Value on_progress);

  ProgressWorker(Napi::Env env, Work work, Result result, Napi::Value on_progress);
  ~ProgressWorker() override;

 private:
  void Execute(const ExecutionProgress& progress) override;
  void OnProgress(const ProgressLine* latest, size_t count) override;
  void OnOK() override;
  static void at_exit(ProgressWorker* self);

  Napi::Promise::Deferred deferred_;
  Work work_;
  Result result_;
  Napi::FunctionReference on_progress_;
  std::atomic<bool> stop_{false};
  Napi::Env::CleanupHook<void (*)(ProgressWorker*), ProgressWorker> exit_hook_;
  pg_code code_ = PG_OK;
  pg_error error_{};
};

}  // namespace polygraft::node
