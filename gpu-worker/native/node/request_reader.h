// Reads a request from a JavaScript object.
#pragma once

#include <string>
#include <vector>

#include "abi/engine.h"
#include "node/napi_api.h"

namespace polygraft::node {

// A pg_request and the memory that it points to. Properties are those of EngineRequest in engine.ts; what is absent has
// its default. Ranges are the engine's to check, but what is no uint32 cannot be handed to it.
class RequestReader {
 public:
  RequestReader(uint64_t id, Napi::Object object);
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  const pg_request& request() const { return request_; }
  // The field, as inference.proto names it, whose value has no place in a pg_request; null: all have.
  const char* misfit() const { return misfit_; }

 private:
  uint32_t whole(double value, const char* field);
  uint32_t whole(Napi::Object object, const char* name, const char* field, uint32_t fallback);

  std::vector<uint32_t> stops_;
  std::string salt_, tenant_;
  std::vector<pg_logit_bias> bias_;
  pg_request request_{};
  const char* misfit_ = nullptr;
};

}  // namespace polygraft::node
