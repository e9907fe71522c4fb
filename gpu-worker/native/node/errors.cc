#include "node/errors.h"

namespace polygraft::node {

const char* code_name(pg_code code) {
  switch (code) {
    case PG_OK:
      return "OK";
    case PG_INVALID_ARGUMENT:
      return "INVALID_ARGUMENT";
    case PG_NOT_FOUND:
      return "NOT_FOUND";
    case PG_FAILED_PRECONDITION:
      return "FAILED_PRECONDITION";
    case PG_RESOURCE_EXHAUSTED:
      return "RESOURCE_EXHAUSTED";
    case PG_UNIMPLEMENTED:
      return "UNIMPLEMENTED";
    case PG_DATA_LOSS:
      return "DATA_LOSS";
    case PG_CANCELLED:
      return "CANCELLED";
    case PG_INTERNAL:
      break;
  }
  return "INTERNAL";
}

Napi::Error engine_error(Napi::Env env, const pg_error& error) {
  return engine_error(env, error.code, error.field, error.message);
}

Napi::Error engine_error(Napi::Env env, pg_code code, const char* field, const char* message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code_name(code)));
  error.Set("field", Napi::String::New(env, field));
  return error;
}

}  // namespace polygraft::node
