// node-addon-api, without C++ exceptions: a failed call leaves a pending JavaScript exception.
#pragma once

#define NAPI_DISABLE_CPP_EXCEPTIONS
#define NODE_ADDON_API_DISABLE_DEPRECATED
#include <napi.h>
