// Reads a request from a JavaScript object.
#pragma once

#include <vector>

#include "abi/engine.h"
#include "node/napi_api.h"

namespace polygraft::node {

// A pg_request and the memory that it points to. Properties are those of EngineRequest in engine.ts; what is absent has
// its default. A property of a wrong type counts as absent: the TypeScript above checks types, the engine ranges.
class RequestReader {
 public:
  RequestReader(uint64_t id, Napi::Object object);
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  const pg_request& request() const { return request_; }

 private:
  std::vector<uint32_t> stops_;
  std::vector<pg_logit_bias> bias_;
  pg_request request_{};
};

}  // namespace polygraft::node
