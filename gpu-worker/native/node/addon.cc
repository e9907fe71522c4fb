// The addon's exports. gpu-worker/src/engine/addon.ts mirrors them with types.
#include <memory>

#include "node/adapter_object.h"
#include "node/class_table.h"
#include "node/engine_object.h"
#include "node/errors.h"
#include "node/napi_api.h"
#include "node/open_engine.h"
#include "node/quantize.h"

namespace polygraft::node {
namespace {

// open(options, onProgress?) -> Promise<NativeEngine>
Napi::Value open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) {
    engine_error(env, PG_INVALID_ARGUMENT, "options", "open takes an object of options").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  auto options = std::make_unique<OpenOptions>();
  if (!read_open_options(info[0].As<Napi::Object>(), *options)) return env.Undefined();
  return open_engine(env, std::move(options), info[1]);
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto classes = std::make_unique<ClassTable>();
  const Napi::Function engine = EngineObject::define(env);
  const Napi::Function adapter = AdapterObject::define(env);
  classes->engine = Napi::Persistent(engine);
  classes->adapter = Napi::Persistent(adapter);
  env.SetInstanceData(classes.release());  // the environment deletes it
  exports.Set("abiVersion", PG_ABI_VERSION);
  exports.Set("open", Napi::Function::New<open>(env, "open"));
  exports.Set("quantize", Napi::Function::New<quantize>(env, "quantize"));
  exports.Set("NativeEngine", engine);
  exports.Set("NativeAdapter", adapter);
  return exports;
}

}  // namespace
}  // namespace polygraft::node

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) { return polygraft::node::init(env, exports); }
NODE_API_MODULE(polygraft, init_addon)
