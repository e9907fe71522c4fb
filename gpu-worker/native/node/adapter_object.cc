#include "node/adapter_object.h"

#include "node/errors.h"

namespace polygraft::node {

Napi::Function AdapterObject::define(Napi::Env env) {
  return DefineClass(env, "NativeAdapter",
                     {InstanceMethod<&AdapterObject::info>("info"), InstanceMethod<&AdapterObject::close>("close")});
}

AdapterObject::AdapterObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  if (info.Length() == 1 && info[0].IsExternal()) {
    handle_ = *info[0].As<Napi::External<AdapterHandle>>().Data();
  } else {
    engine_error(info.Env(), PG_INVALID_ARGUMENT, "", "adapters are opened by an engine").ThrowAsJavaScriptException();
  }
}

Napi::Value AdapterObject::info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!handle_) {
    engine_error(env, PG_FAILED_PRECONDITION, "", "the adapter is closed").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  pg_adapter_info described{};
  described.size = sizeof(described);
  pg_adapter_get_info(handle_.get(), &described);
  Napi::Object object = Napi::Object::New(env);
  object.Set("rank", described.rank);
  object.Set("moduleCount", described.module_count);
  object.Set("targetMask", described.target_mask);
  object.Set("hostBytes", static_cast<double>(described.host_bytes));
  object.Set("deviceBytes", static_cast<double>(described.device_bytes));
  object.Set("baseModel", described.base_model);
  return object;
}

void AdapterObject::close(const Napi::CallbackInfo&) { handle_.reset(); }

}  // namespace polygraft::node
