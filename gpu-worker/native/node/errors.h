// Failures of the engine as JavaScript errors.
#pragma once

#include "abi/engine.h"
#include "node/napi_api.h"

namespace polygraft::node {

// "INVALID_ARGUMENT", …: the code's name in gRPC.
const char* code_name(pg_code code);

// An Error with the properties `code` and `field`.
Napi::Error engine_error(Napi::Env env, const pg_error& error);
Napi::Error engine_error(Napi::Env env, pg_code code, const char* field, const char* message);

}  // namespace polygraft::node
