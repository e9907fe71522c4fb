// Options that JavaScript gives as an object.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "node/errors.h"
#include "node/napi_api.h"

namespace polygraft::node {

inline constexpr std::pair<const char*, pg_scheme> kSchemes[] = {
    {"w4", PG_SCHEME_W4}, {"nf4", PG_SCHEME_NF4}, {"w8", PG_SCHEME_W8}, {"f32", PG_SCHEME_F32}};

inline std::string text(Napi::Object object, const char* name) {
  const Napi::Value value = object.Get(name);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

// Absent and useless numbers count as 0, which means the default.
inline uint64_t count(Napi::Object object, const char* name) {
  const Napi::Value value = object.Get(name);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
  return number > 0 && number < 9e15 ? static_cast<uint64_t>(number) : 0;
}

inline uint32_t small_count(Napi::Object object, const char* name) {
  return static_cast<uint32_t>(std::min<uint64_t>(count(object, name), UINT32_MAX));
}

// Leaves `out` alone if there is no such option. False with a pending exception if the name is unknown.
template <typename Enum, size_t kCount>
bool choose(Napi::Object object, const char* name, const std::pair<const char*, Enum> (&choices)[kCount], Enum& out) {
  const std::string chosen = text(object, name);
  if (chosen.empty()) return true;
  for (const auto& [spelling, value] : choices) {
    if (chosen == spelling) {
      out = value;
      return true;
    }
  }
  const std::string message = std::string(name) + " is unknown: " + chosen;
  engine_error(object.Env(), PG_INVALID_ARGUMENT, name, message.c_str()).ThrowAsJavaScriptException();
  return false;
}

}  // namespace polygraft::node
