#include "node/engine_object.h"

#include <string>
#include <utility>

#include "node/adapter_object.h"
#include "node/class_table.h"
#include "node/errors.h"
#include "node/request_reader.h"

namespace polygraft::node {
namespace {

Napi::Object describe(Napi::Env env, const pg_model_info& info) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("architecture", info.architecture);
  object.Set("digest", info.digest);
  object.Set("device", info.device);
  object.Set("weights", info.weights);
  object.Set("vocabularySize", info.vocabulary_size);
  object.Set("contextLength", info.context_length);
  object.Set("hiddenSize", info.hidden_size);
  object.Set("layers", info.layers);
  object.Set("kvBlocks", info.kv_blocks);
  object.Set("kvBlockTokens", info.kv_block_tokens);
  object.Set("weightBytes", static_cast<double>(info.weight_bytes));
  object.Set("kvBytes", static_cast<double>(info.kv_bytes));
  object.Set("adapterBytes", static_cast<double>(info.adapter_bytes));
  object.Set("hostAdapterBytes", static_cast<double>(info.host_adapter_bytes));
  object.Set("scratchBytes", static_cast<double>(info.scratch_bytes));
  object.Set("processBytes", static_cast<double>(info.process_bytes));
  object.Set("maxSequences", info.max_sequences);
  object.Set("maxStepTokens", info.max_step_tokens);
  object.Set("maxQueue", info.max_queue);
  Napi::Array eos = Napi::Array::New(env, info.eos_count);
  for (uint32_t i = 0; i < info.eos_count; ++i) eos[i] = info.eos_token_ids[i];
  object.Set("eosTokenIds", eos);
  object.Set("bosTokenId", info.bos_token_id);
  object.Set("warning", info.warning);
  return object;
}

}  // namespace

Napi::Function EngineObject::define(Napi::Env env) {
  return DefineClass(env, "NativeEngine",
                     {InstanceMethod<&EngineObject::info>("info"), InstanceMethod<&EngineObject::on_report>("onReport"),
                      InstanceMethod<&EngineObject::open_adapter>("openAdapter"),
                      InstanceMethod<&EngineObject::attach_adapter>("attachAdapter"),
                      InstanceMethod<&EngineObject::detach_adapter>("detachAdapter"),
                      InstanceMethod<&EngineObject::alias_adapter>("aliasAdapter"),
                      InstanceMethod<&EngineObject::replace_adapter>("replaceAdapter"),
                      InstanceMethod<&EngineObject::park_adapter>("parkAdapter"),
                      InstanceMethod<&EngineObject::resume_adapter>("resumeAdapter"),
                      InstanceMethod<&EngineObject::submit>("submit"), InstanceMethod<&EngineObject::cancel>("cancel"),
                      InstanceMethod<&EngineObject::load>("load"), InstanceMethod<&EngineObject::close>("close")});
}

EngineObject::EngineObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  if (info.Length() == 1 && info[0].IsExternal()) {
    handle_ = *info[0].As<Napi::External<std::shared_ptr<EngineHandle>>>().Data();
    exit_hook_ = info.Env().AddCleanupHook(&EngineObject::at_exit, this);
  } else {
    engine_error(info.Env(), PG_INVALID_ARGUMENT, "", "engines are made by open").ThrowAsJavaScriptException();
  }
}

EngineObject::~EngineObject() {
  if (!exit_hook_.IsEmpty()) exit_hook_.Remove(Env());
  if (!handle_) return;
  // Collected without `close`: end the thread now, then let the callback go.
  const std::shared_ptr<ReportChannel> channel = handle_->channel();
  handle_.reset();
  if (channel) channel->release();
}

// The environment ends: join the engine's thread while its callback still exists. Node.js ends the callback itself.
void EngineObject::at_exit(EngineObject* self) {
  self->exit_hook_ = {};
  if (!self->handle_) return;
  if (self->handle_->channel()) self->handle_->channel()->close();
  self->handle_.reset();
}

pg_engine* EngineObject::usable(Napi::Env env) const {
  if (handle_ && !closing_) return handle_->engine();
  engine_error(env, PG_FAILED_PRECONDITION, "", "the engine is closed").ThrowAsJavaScriptException();
  return nullptr;
}

Napi::Value EngineObject::info(const Napi::CallbackInfo& info) {
  pg_engine* const engine = usable(info.Env());
  if (engine == nullptr) return info.Env().Undefined();
  pg_model_info model{};
  model.size = sizeof(model);
  pg_engine_info(engine, &model);
  return describe(info.Env(), model);
}

Napi::Value EngineObject::on_report(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (usable(env) == nullptr) return env.Undefined();
  if (handle_->channel() || !info[0].IsFunction()) {
    engine_error(env, PG_INVALID_ARGUMENT, "", "onReport takes one function, once").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  handle_->set_channel(ReportChannel::open(env, info[0].As<Napi::Function>()));
  Napi::Object layout = Napi::Object::New(env);
  layout.Set("buffers", handle_->channel()->buffers());
  layout.Set("eventsOffset", static_cast<double>(ReportChannel::kEventsOffset));
  layout.Set("alternativesOffset", static_cast<double>(ReportChannel::kAlternativesOffset));
  return layout;
}

Napi::Value EngineObject::open_adapter(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (usable(env) == nullptr) return env.Undefined();
  auto adapter = std::make_shared<AdapterHandle>();
  return run(
      env,
      [handle = handle_, dir = info[0].ToString().Utf8Value(), adapter](pg_error* error) {
        pg_adapter* opened = nullptr;
        const pg_code code = pg_adapter_open(handle->engine(), dir.c_str(), &opened, error);
        adapter->reset(opened, pg_adapter_close);
        return code;
      },
      [adapter](Napi::Env result_env) -> Napi::Value {
        const auto external = Napi::External<AdapterHandle>::New(result_env, adapter.get());
        return result_env.GetInstanceData<ClassTable>()->adapter.New({external});
      });
}

AdapterHandle EngineObject::adapter_of(const Napi::Value& value, const char* method) {
  const Napi::Env env = value.Env();
  AdapterHandle adapter;
  if (value.IsObject() && value.As<Napi::Object>().InstanceOf(env.GetInstanceData<ClassTable>()->adapter.Value())) {
    adapter = AdapterObject::Unwrap(value.As<Napi::Object>())->handle();
  }
  if (!adapter) {
    const std::string message = std::string(method) + " takes an open adapter";
    engine_error(env, PG_INVALID_ARGUMENT, "adapter", message.c_str()).ThrowAsJavaScriptException();
  }
  return adapter;
}

Napi::Value EngineObject::attach_adapter(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (usable(env) == nullptr) return env.Undefined();
  const AdapterHandle adapter = adapter_of(info[0], "attachAdapter");
  if (!adapter) return env.Undefined();
  auto slot = std::make_shared<uint32_t>(PG_NO_ADAPTER);
  return run(
      env,
      [handle = handle_, adapter, digest = info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : std::string(),
       slot](pg_error* error) {
        return pg_adapter_attach(handle->engine(), adapter.get(), digest.c_str(), slot.get(), error);
      },
      [slot](Napi::Env result_env) -> Napi::Value { return Napi::Number::New(result_env, *slot); });
}

void EngineObject::change_slot(const Napi::CallbackInfo& info, pg_code (*change)(pg_engine*, uint32_t, pg_error*)) {
  pg_engine* const engine = usable(info.Env());
  if (engine == nullptr) return;
  pg_error error{};
  if (change(engine, info[0].ToNumber().Uint32Value(), &error) != PG_OK) {
    engine_error(info.Env(), error).ThrowAsJavaScriptException();
  }
}

void EngineObject::detach_adapter(const Napi::CallbackInfo& info) { change_slot(info, pg_adapter_detach); }

void EngineObject::park_adapter(const Napi::CallbackInfo& info) { change_slot(info, pg_adapter_park); }

Napi::Value EngineObject::alias_adapter(const Napi::CallbackInfo& info) {
  pg_engine* const engine = usable(info.Env());
  if (engine == nullptr) return info.Env().Undefined();
  pg_error error{};
  uint32_t alias = PG_NO_ADAPTER;
  if (pg_adapter_alias(engine, info[0].ToNumber().Uint32Value(), &alias, &error) != PG_OK) {
    engine_error(info.Env(), error).ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  return Napi::Number::New(info.Env(), alias);
}

Napi::Value EngineObject::resume_adapter(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (usable(env) == nullptr) return env.Undefined();
  const AdapterHandle adapter = adapter_of(info[0], "resumeAdapter");
  if (!adapter) return env.Undefined();
  return run(
      env,
      [handle = handle_, adapter, slot = info[1].ToNumber().Uint32Value()](pg_error* error) {
        return pg_adapter_resume(handle->engine(), adapter.get(), slot, error);
      },
      [](Napi::Env result_env) -> Napi::Value { return result_env.Undefined(); });
}

void EngineObject::replace_adapter(const Napi::CallbackInfo& info) {
  pg_engine* const engine = usable(info.Env());
  if (engine == nullptr) return;
  pg_error error{};
  const uint32_t slot = info[0].ToNumber().Uint32Value(), by = info[1].ToNumber().Uint32Value();
  if (pg_adapter_replace(engine, slot, by, &error) != PG_OK) {
    engine_error(info.Env(), error).ThrowAsJavaScriptException();
  }
}

void EngineObject::submit(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  pg_engine* const engine = usable(env);
  if (engine == nullptr) return;
  if (!handle_->channel() || !info[0].IsNumber() || !info[1].IsObject()) {
    engine_error(env, PG_INVALID_ARGUMENT, "", "submit takes an id and a request, after onReport")
        .ThrowAsJavaScriptException();
    return;
  }
  const RequestReader reader(static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value()),
                             info[1].As<Napi::Object>());
  if (reader.misfit() != nullptr) {
    const std::string message = std::string(reader.misfit()) + " must be whole numbers from 0 to 4294967295";
    engine_error(env, PG_INVALID_ARGUMENT, reader.misfit(), message.c_str()).ThrowAsJavaScriptException();
    return;
  }
  pg_error error{};
  if (pg_submit(engine, &reader.request(), &error) != PG_OK) {
    engine_error(env, error).ThrowAsJavaScriptException();
    return;
  }
  handle_->channel()->expect_end(env);
}

void EngineObject::cancel(const Napi::CallbackInfo& info) {
  pg_engine* const engine = usable(info.Env());
  if (engine != nullptr) pg_cancel(engine, static_cast<uint64_t>(info[0].ToNumber().Int64Value()));
}

void EngineObject::load(const Napi::CallbackInfo& info) {
  pg_engine* const engine = usable(info.Env());
  if (engine == nullptr) return;
  pg_load load{};
  pg_engine_load(engine, &load);
  if (info[0].IsTypedArray() && info[0].As<Napi::TypedArray>().TypedArrayType() == napi_float64_array &&
      info[0].As<Napi::TypedArray>().ElementLength() >= ReportChannel::kLoadFields) {
    write_load(load, info[0].As<Napi::Float64Array>().Data());
  }
}

Napi::Promise EngineObject::run(Napi::Env env, PromiseWorker::Work work, PromiseWorker::Result result) {
  Ref();
  ++work_;
  return PromiseWorker::run(env, std::move(work), std::move(result), [this](Napi::Env done_env) {
    --work_;
    close_when_idle(done_env);
    Unref();
  });
}

Napi::Value EngineObject::close(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!closing_) {
    closing_ = std::make_unique<Napi::Promise::Deferred>(Napi::Promise::Deferred::New(env));
    Ref();
    if (handle_ && handle_->channel()) handle_->channel()->close();
    close_when_idle(env);
  }
  return closing_->Promise();
}

void EngineObject::close_when_idle(Napi::Env env) {
  if (!closing_ || work_ > 0 || !handle_) return;
  const std::shared_ptr<ReportChannel> channel = handle_->channel();
  PromiseWorker::run(
      env,
      [handle = std::move(handle_)](pg_error*) mutable {
        handle.reset();  // joins the engine's thread
        return PG_OK;
      },
      [](Napi::Env result_env) { return result_env.Undefined(); },
      [this, channel](Napi::Env done_env) {
        if (channel) channel->release();
        closing_->Resolve(done_env.Undefined());
        Unref();
      });
}

}  // namespace polygraft::node
