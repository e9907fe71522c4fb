// A strict, bounded JSON reader (RFC 8259) for config files and safetensors headers, which may come from strangers.
//
// Depth, string bytes and the number of values are limited, keys must be unique, text must be UTF-8. Nothing is written
// here, so there is no serializer beyond `quote_json`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace polygraft {

class Json {
 public:
  enum class Type : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };
  using Member = std::pair<std::string, Json>;

  Type type() const { return type_; }
  bool is_null() const { return type_ == Type::kNull; }
  bool is_bool() const { return type_ == Type::kBool; }
  bool is_number() const { return type_ == Type::kNumber; }
  // A number written without fraction or exponent that fits int64.
  bool is_integer() const { return type_ == Type::kNumber && integral_; }
  bool is_string() const { return type_ == Type::kString; }
  bool is_array() const { return type_ == Type::kArray; }
  bool is_object() const { return type_ == Type::kObject; }

  // Each is meaningful for its type only, and zero or empty for the others.
  bool boolean() const { return boolean_; }
  double number() const { return number_; }
  int64_t integer() const { return integer_; }
  const std::string& string() const { return string_; }
  const std::vector<Json>& array() const { return array_; }
  const std::vector<Member>& members() const { return members_; }  // in the order of the text

  // A member of an object; nullptr if there is none or this is no object.
  const Json* find(std::string_view key) const;

 private:
  friend class JsonParser;
  Type type_ = Type::kNull;
  bool boolean_ = false;
  bool integral_ = false;
  double number_ = 0;
  int64_t integer_ = 0;
  std::string string_;
  std::vector<Json> array_;
  std::vector<Member> members_;
};

inline constexpr uint32_t kJsonMaxDepth = 32;
inline constexpr uint32_t kJsonMaxValues = 1u << 20;

// Parses a whole text. Throws Error(PG_DATA_LOSS, source) saying what is wrong at which byte.
Json parse_json(std::string_view text, const std::string& source);

// `text` as a JSON string, quotes included.
std::string quote_json(std::string_view text);

}  // namespace polygraft
