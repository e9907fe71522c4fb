// Typed, range-checked access to the members of a JSON object; errors name the key by its path.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "abi/engine.h"
#include "model/json.h"

namespace polygraft {

class JsonObject {
 public:
  // `value` must outlive this. `path` is empty for a file's root. Throws Error(PG_DATA_LOSS, path or source) if `value`
  // is no object.
  JsonObject(const Json& value, std::string source, std::string path = "");

  // The member, or nullptr if it is missing or null: Hugging Face files use both for "not set".
  const Json* get(const char* key) const;
  bool has(const char* key) const { return get(key) != nullptr; }
  std::string path_of(const char* key) const;

  // A value of the given kind and range; `fallback` when not set. Throw Error(PG_FAILED_PRECONDITION, path of the key).
  bool boolean(const char* key, bool fallback) const;
  uint64_t integer(const char* key, uint64_t low, uint64_t high, std::optional<uint64_t> fallback = {}) const;
  double number(const char* key, double low, double high, std::optional<double> fallback = {}) const;
  std::optional<std::string> string(const char* key) const;
  std::optional<JsonObject> object(const char* key) const;
  // An array of finite numbers, each in the range; empty when not set.
  std::vector<double> numbers(const char* key, double low, double high) const;
  // An integer or an array of integers, each in the range; empty when not set.
  std::vector<uint64_t> integers(const char* key, uint64_t low, uint64_t high) const;
  // A string or an array of strings; empty when not set.
  std::vector<std::string> strings(const char* key) const;

  const Json& json() const { return value_; }
  const std::string& source() const { return source_; }

  // Throws Error(code, path of the key, "SOURCE: key PATH ...what").
  [[noreturn]] void refuse(pg_code code, const char* key, const std::string& what) const;

 private:
  const Json& value_;
  std::string source_, path_;
};

}  // namespace polygraft
