// node-addon-api, without C++ exceptions: a failed call leaves a pending JavaScript exception.
#pragma once

#define NAPI_DISABLE_CPP_EXCEPTIONS
#define NODE_ADDON_API_DISABLE_DEPRECATED
// A worker thread that is being terminated refuses every call and every exception: that is no reason to abort the process.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>
