#include "model/json_object.h"

#include <sstream>
#include <utility>

#include "model/error.h"

namespace polygraft {
namespace {

std::string show(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

}  // namespace

JsonObject::JsonObject(const Json& value, std::string source, std::string path)
    : value_(value), source_(std::move(source)), path_(std::move(path)) {
  if (!value.is_object())
    throw Error(PG_DATA_LOSS, path_.empty() ? source_ : path_,
                source_ + ": " + (path_.empty() ? "the file" : path_) + " is not a JSON object");
}

const Json* JsonObject::get(const char* key) const {
  const Json* member = value_.find(key);
  return member == nullptr || member->is_null() ? nullptr : member;
}

std::string JsonObject::path_of(const char* key) const { return path_.empty() ? key : path_ + "." + key; }

void JsonObject::refuse(pg_code code, const char* key, const std::string& what) const {
  throw Error(code, path_of(key), source_ + ": " + path_of(key) + " " + what);
}

bool JsonObject::boolean(const char* key, bool fallback) const {
  const Json* value = get(key);
  if (value == nullptr) return fallback;
  if (!value->is_bool()) refuse(PG_FAILED_PRECONDITION, key, "must be true or false");
  return value->boolean();
}

uint64_t JsonObject::integer(const char* key, uint64_t low, uint64_t high, std::optional<uint64_t> fallback) const {
  const Json* value = get(key);
  if (value == nullptr && fallback) return *fallback;
  if (value == nullptr) refuse(PG_FAILED_PRECONDITION, key, "is missing");
  if (!value->is_integer() || value->integer() < 0 || static_cast<uint64_t>(value->integer()) < low ||
      static_cast<uint64_t>(value->integer()) > high)
    refuse(PG_FAILED_PRECONDITION, key,
           "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  return static_cast<uint64_t>(value->integer());
}

double JsonObject::number(const char* key, double low, double high, std::optional<double> fallback) const {
  const Json* value = get(key);
  if (value == nullptr && fallback) return *fallback;
  if (value == nullptr) refuse(PG_FAILED_PRECONDITION, key, "is missing");
  if (!value->is_number() || !(value->number() >= low && value->number() <= high))
    refuse(PG_FAILED_PRECONDITION, key, "must be a number from " + show(low) + " to " + show(high));
  return value->number();
}

std::optional<std::string> JsonObject::string(const char* key) const {
  const Json* value = get(key);
  if (value == nullptr) return {};
  if (!value->is_string()) refuse(PG_FAILED_PRECONDITION, key, "must be a string");
  return value->string();
}

std::optional<JsonObject> JsonObject::object(const char* key) const {
  const Json* value = get(key);
  if (value == nullptr) return {};
  if (!value->is_object()) refuse(PG_FAILED_PRECONDITION, key, "must be an object");
  return JsonObject(*value, source_, path_of(key));
}

std::vector<double> JsonObject::numbers(const char* key, double low, double high) const {
  const Json* value = get(key);
  if (value == nullptr) return {};
  if (!value->is_array()) refuse(PG_FAILED_PRECONDITION, key, "must be a list of numbers");
  std::vector<double> all;
  for (const Json& item : value->array()) {
    if (!item.is_number() || !(item.number() >= low && item.number() <= high))
      refuse(PG_FAILED_PRECONDITION, key, "must hold numbers from " + show(low) + " to " + show(high));
    all.push_back(item.number());
  }
  return all;
}

std::vector<uint64_t> JsonObject::integers(const char* key, uint64_t low, uint64_t high) const {
  const Json* value = get(key);
  if (value == nullptr) return {};
  if (!value->is_array()) return {integer(key, low, high)};
  std::vector<uint64_t> all;
  for (const Json& item : value->array()) {
    if (!item.is_integer() || item.integer() < 0 || static_cast<uint64_t>(item.integer()) < low ||
        static_cast<uint64_t>(item.integer()) > high)
      refuse(PG_FAILED_PRECONDITION, key,
             "must hold whole numbers from " + std::to_string(low) + " to " + std::to_string(high));
    all.push_back(static_cast<uint64_t>(item.integer()));
  }
  return all;
}

std::vector<std::string> JsonObject::strings(const char* key) const {
  const Json* value = get(key);
  if (value == nullptr) return {};
  if (value->is_string()) return {value->string()};
  if (!value->is_array()) refuse(PG_FAILED_PRECONDITION, key, "must be a string or a list of strings");
  std::vector<std::string> all;
  for (const Json& item : value->array()) {
    if (!item.is_string()) refuse(PG_FAILED_PRECONDITION, key, "must be a string or a list of strings");
    all.push_back(item.string());
  }
  return all;
}

}  // namespace polygraft
