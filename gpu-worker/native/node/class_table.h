// The classes of one JavaScript environment. Each worker thread that loads the addon has its own.
#pragma once

#include "node/napi_api.h"

namespace polygraft::node {

struct ClassTable {
  Napi::FunctionReference engine, adapter;
};

}  // namespace polygraft::node
