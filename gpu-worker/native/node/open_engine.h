// Opens an engine on another thread, with progress.
#pragma once

#include <memory>
#include <string>

#include "abi/engine.h"
#include "node/napi_api.h"

namespace polygraft::node {

// Options of `open` as JavaScript gives them, with the memory of their strings.
struct OpenOptions {
  std::string model_dir, cache_dir, isa;
  pg_engine_options values{};
};

// Reads NativeOptions of addon.ts. False with a pending exception if a name is unknown.
bool read_open_options(Napi::Object object, OpenOptions& out);

// The promise of a NativeEngine. `on_progress(phase, done, total)` may be undefined.
Napi::Promise open_engine(Napi::Env env, std::unique_ptr<OpenOptions> options, Napi::Value on_progress);

}  // namespace polygraft::node
