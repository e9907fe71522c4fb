// `NativeEngine` of addon.ts: an open engine.
#pragma once

#include <memory>

#include "node/engine_handle.h"
#include "node/napi_api.h"
#include "node/promise_worker.h"

namespace polygraft::node {

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // Made by `open` only, with an External that holds a shared_ptr<EngineHandle>.
  explicit EngineObject(const Napi::CallbackInfo& info);
  ~EngineObject() override;

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value on_report(const Napi::CallbackInfo& info);
  Napi::Value open_adapter(const Napi::CallbackInfo& info);
  Napi::Value attach_adapter(const Napi::CallbackInfo& info);
  void detach_adapter(const Napi::CallbackInfo& info);
  Napi::Value alias_adapter(const Napi::CallbackInfo& info);
  void park_adapter(const Napi::CallbackInfo& info);
  Napi::Value resume_adapter(const Napi::CallbackInfo& info);
  // The adapter object at `value`, or null with a pending exception.
  static AdapterHandle adapter_of(const Napi::Value& value, const char* method);
  void replace_adapter(const Napi::CallbackInfo& info);
  // Calls a function of the C ABI with the slot that is the first argument.
  void change_slot(const Napi::CallbackInfo& info, pg_code (*change)(pg_engine*, uint32_t, pg_error*));
  void submit(const Napi::CallbackInfo& info);
  void cancel(const Napi::CallbackInfo& info);
  void load(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  // The engine, or null with a pending exception once it is being closed.
  pg_engine* usable(Napi::Env env) const;
  // `work` on another thread; `close` waits for its end.
  Napi::Promise run(Napi::Env env, PromiseWorker::Work work, PromiseWorker::Result result);
  void close_when_idle(Napi::Env env);
  static void at_exit(EngineObject* self);

  std::shared_ptr<EngineHandle> handle_;  // null: closed
  uint32_t work_ = 0;                     // running on other threads
  std::unique_ptr<Napi::Promise::Deferred> closing_;
  Napi::Env::CleanupHook<void (*)(EngineObject*), EngineObject> exit_hook_;
};

}  // namespace polygraft::node
