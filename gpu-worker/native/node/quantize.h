// Quantizes a checkpoint on another thread, with progress.
#pragma once

#include "node/napi_api.h"

namespace polygraft::node {

// quantize(NativeQuantizeOptions, onProgress?) -> Promise<NativeQuantizeReport>, as addon.ts has them.
Napi::Value quantize(const Napi::CallbackInfo& info);

}  // namespace polygraft::node
