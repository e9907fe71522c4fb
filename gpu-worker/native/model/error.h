// The engine's one exception. It never crosses the C ABI: abi/engine.cc turns it into a pg_error.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "abi/engine.h"

namespace polygraft {

class Error : public std::runtime_error {
 public:
  Error(pg_code code, std::string field, const std::string& message)
      : std::runtime_error(message), code_(code), field_(std::move(field)) {}

  pg_code code() const { return code_; }
  // Request field, config key or tensor at fault; empty if none.
  const std::string& field() const { return field_; }

 private:
  pg_code code_;
  std::string field_;
};

}  // namespace polygraft
