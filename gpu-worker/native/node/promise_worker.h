// Work on another thread behind a promise.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "abi/engine.h"
#include "node/errors.h"
#include "node/napi_api.h"

namespace polygraft::node {

// Calls a blocking function of the engine on libuv's pool and settles a promise on JavaScript's thread.
class PromiseWorker : public Napi::AsyncWorker {
 public:
  using Work = std::function<pg_code(pg_error*)>;
  using Result = std::function<Napi::Value(Napi::Env)>;

  // `result` makes the promise's value if `work` returned PG_OK. `done` is called first in either case.
  static Napi::Promise run(Napi::Env env, Work work, Result result, std::function<void(Napi::Env)> done) {
    auto worker = std::make_unique<PromiseWorker>(env, std::move(work), std::move(result), std::move(done));
    const Napi::Promise promise = worker->deferred_.Promise();
    worker.release()->Queue();  // deletes itself at its end
    return promise;
  }

  PromiseWorker(Napi::Env env, Work work, Result result, std::function<void(Napi::Env)> done)
      : AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        result_(std::move(result)),
        done_(std::move(done)) {}

 private:
  void Execute() override { code_ = work_(&error_); }

  void OnOK() override {
    done_(Env());
    if (code_ == PG_OK) {
      deferred_.Resolve(result_(Env()));
    } else {
      deferred_.Reject(engine_error(Env(), error_).Value());
    }
  }

  Napi::Promise::Deferred deferred_;
  Work work_;
  Result result_;
  std::function<void(Napi::Env)> done_;
  pg_code code_ = PG_OK;
  pg_error error_{};
};

}  // namespace polygraft::node
