// Opens an engine on another thread, with progress.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "abi/engine.h"
#include "node/napi_api.h"

namespace polygraft::node {

// Options of `open` as JavaScript gives them, with the memory of their strings.
struct OpenOptions {
  std::string model_dir, cache_dir, isa;
  pg_engine_options values{};
};

// Reads EngineOptions of addon.ts. False with a pending exception if a name is unknown.
bool read_open_options(Napi::Object object, OpenOptions& out);

// A line of progress, cut to a fixed size so that it can be handed over by copy.
struct OpenProgress {
  char phase[32];
  double done, total;
};

class OpenWorker : public Napi::AsyncProgressWorker<OpenProgress> {
 public:
  // The promise of a NativeEngine. `on_progress(phase, done, total)` may be undefined.
  static Napi::Promise run(Napi::Env env, std::unique_ptr<OpenOptions> options, Napi::Value on_progress);

  OpenWorker(Napi::Env env, std::unique_ptr<OpenOptions> options, Napi::Value on_progress);
  ~OpenWorker() override;

 private:
  void Execute(const ExecutionProgress& progress) override;
  void OnProgress(const OpenProgress* latest, size_t count) override;
  void OnOK() override;
  static void at_exit(OpenWorker* self);

  Napi::Promise::Deferred deferred_;
  std::unique_ptr<OpenOptions> options_;
  Napi::FunctionReference on_progress_;
  std::atomic<bool> abandoned_{false};  // the environment ends: do not make it wait for a whole model
  Napi::Env::CleanupHook<void (*)(OpenWorker*), OpenWorker> exit_hook_;
  pg_engine* engine_ = nullptr;
  pg_error error_{};
};

}  // namespace polygraft::node
