// `NativeAdapter` of addon.ts: an adapter in host memory.
#pragma once

#include "node/engine_handle.h"
#include "node/napi_api.h"

namespace polygraft::node {

class AdapterObject : public Napi::ObjectWrap<AdapterObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // Made by the engine only, with an External that holds an AdapterHandle.
  explicit AdapterObject(const Napi::CallbackInfo& info);

  // Null after `close`.
  const AdapterHandle& handle() const { return handle_; }

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  AdapterHandle handle_;
};

}  // namespace polygraft::node
