#include "node/quantize.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "abi/engine.h"
#include "node/errors.h"
#include "node/option_reader.h"
#include "node/progress_worker.h"

namespace polygraft::node {
namespace {

// With the memory of what `values` points to.
struct Options {
  std::string model_dir, out_file;
  std::vector<uint32_t> tokens;
  pg_quantize_options values{};
};

bool read_options(Napi::Object object, Options& out) {
  out.model_dir = text(object, "modelDir");
  out.out_file = text(object, "outFile");
  pg_quantize_options& values = out.values;
  values.size = sizeof(values);
  values.model_dir = out.model_dir.c_str();
  values.out_file = out.out_file.c_str();
  values.group = small_count(object, "group");
  values.head_bits = small_count(object, "headBits");
  values.sequence_tokens = small_count(object, "sequenceTokens");
  values.threads = small_count(object, "threads");
  const Napi::Value tokens = object.Get("tokens");
  if (tokens.IsTypedArray() && tokens.As<Napi::TypedArray>().TypedArrayType() == napi_uint32_array) {
    const auto array = tokens.As<Napi::Uint32Array>();
    out.tokens.assign(array.Data(), array.Data() + array.ElementLength());
    out.tokens.reserve(1);  // an empty list is not an absent one
    values.tokens = out.tokens.data();
    values.token_count = static_cast<uint32_t>(out.tokens.size());
  }
  return choose<pg_scheme>(object, "scheme", kSchemes, values.scheme) &&
         choose<pg_grid>(object, "grid",
                         {{"searched", PG_GRID_SEARCHED}, {"plain", PG_GRID_PLAIN}, {"symmetric", PG_GRID_SYMMETRIC}},
                         values.grid);
}

Napi::Float64Array numbers(Napi::Env env, const double (&values)[8]) {
  Napi::Float64Array array = Napi::Float64Array::New(env, 8);
  for (size_t i = 0; i < 8; ++i) array[i] = values[i];
  return array;
}

Napi::Value describe(Napi::Env env, const pg_quantize_report& report) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("layers", report.layers);
  object.Set("parameters", static_cast<double>(report.parameters));
  object.Set("bytes", static_cast<double>(report.bytes));
  object.Set("plainWeightError", numbers(env, report.plain_weight_error));
  object.Set("weightError", numbers(env, report.weight_error));
  object.Set("roundedOutputError", numbers(env, report.rounded_output_error));
  object.Set("outputError", numbers(env, report.output_error));
  return object;
}

}  // namespace

Napi::Value quantize(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) {
    engine_error(env, PG_INVALID_ARGUMENT, "options", "quantize takes an object of options")
        .ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const auto options = std::make_shared<Options>();
  if (!read_options(info[0].As<Napi::Object>(), *options)) return env.Undefined();
  const auto report = std::make_shared<pg_quantize_report>();
  report->size = sizeof(*report);
  return ProgressWorker::run(
      env,
      [options, report](pg_progress progress, void* user, pg_error* error) {
        return pg_quantize(&options->values, progress, user, report.get(), error);
      },
      [report](Napi::Env result_env) { return describe(result_env, *report); }, info[1]);
}

}  // namespace polygraft::node
