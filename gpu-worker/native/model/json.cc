#include "model/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <locale>
#include <sstream>

#include "model/error.h"
#include "model/utf8.h"

namespace polygraft {
namespace {

// Decimal text to double, whatever the process's locale; NaN if it is out of range. The text already follows JSON's
// grammar.
double to_double(std::string_view text) {
  double value = 0;
#if defined(__cpp_lib_to_chars)
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc{}) return std::numeric_limits<double>::quiet_NaN();
#else
  std::istringstream in{std::string(text)};
  in.imbue(std::locale::classic());
  if (!(in >> value)) return std::numeric_limits<double>::quiet_NaN();
#endif
  return value;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

class JsonParser {
 public:
  JsonParser(std::string_view text, const std::string& source) : text_(text), source_(source) {}

  Json parse() {
    Json value = parse_value(0);
    skip_space();
    if (at_ != text_.size()) fail("more text after the value");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(PG_DATA_LOSS, source_, source_ + " is not valid JSON at byte " + std::to_string(at_) + ": " + what);
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
      ++at_;
  }

  void expect(char c) {
    if (at_ >= text_.size()) fail(std::string("the text ends where '") + c + "' should be");
    if (text_[at_] != c) fail(std::string("'") + c + "' expected");
    ++at_;
  }

  bool accept_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  Json parse_value(uint32_t depth) {
    if (depth > kJsonMaxDepth) fail("nested deeper than " + std::to_string(kJsonMaxDepth) + " levels");
    if (++values_ > kJsonMaxValues) fail("more than " + std::to_string(kJsonMaxValues) + " values");
    skip_space();
    Json value;
    const char c = peek();
    if (c == '{') {
      parse_object(value, depth);
    } else if (c == '[') {
      parse_array(value, depth);
    } else if (c == '"') {
      value.type_ = Json::Type::kString;
      value.string_ = parse_string();
    } else if (c == '-' || is_digit(c)) {
      parse_number(value);
    } else if (accept_word("true") || accept_word("false")) {
      value.type_ = Json::Type::kBool;
      value.boolean_ = c == 't';
    } else if (!accept_word("null")) {
      fail("a value expected");
    }
    return value;
  }

  void parse_object(Json& value, uint32_t depth) {
    value.type_ = Json::Type::kObject;
    expect('{');
    skip_space();
    if (peek() == '}') {
      ++at_;
      return;
    }
    while (true) {
      skip_space();
      std::string key = parse_string();
      skip_space();
      expect(':');
      value.members_.emplace_back(std::move(key), parse_value(depth + 1));
      skip_space();
      if (peek() != ',') break;
      ++at_;
    }
    expect('}');
    refuse_duplicates(value.members_);
  }

  // Two readers that keep different twins would see two different files.
  void refuse_duplicates(const std::vector<Json::Member>& members) const {
    std::vector<std::string_view> keys;
    keys.reserve(members.size());
    for (const Json::Member& member : members) keys.push_back(member.first);
    std::sort(keys.begin(), keys.end());
    const auto twin = std::adjacent_find(keys.begin(), keys.end());
    if (twin != keys.end()) fail("key " + quote_json(twin->substr(0, 64)) + " appears twice");
  }

  void parse_array(Json& value, uint32_t depth) {
    value.type_ = Json::Type::kArray;
    expect('[');
    skip_space();
    if (peek() == ']') {
      ++at_;
      return;
    }
    while (true) {
      value.array_.push_back(parse_value(depth + 1));
      skip_space();
      if (peek() != ',') break;
      ++at_;
    }
    expect(']');
  }

  void parse_number(Json& value) {
    value.type_ = Json::Type::kNumber;
    const size_t first = at_;
    if (peek() == '-') ++at_;
    if (!is_digit(peek())) fail("a digit expected");
    if (peek() == '0') {
      ++at_;
      if (is_digit(peek())) fail("a number may not begin with 0");
    }
    while (is_digit(peek())) ++at_;
    bool integral = true;
    if (peek() == '.') {
      integral = false;
      ++at_;
      if (!is_digit(peek())) fail("a digit expected");
      while (is_digit(peek())) ++at_;
    }
    if (peek() == 'e' || peek() == 'E') {
      integral = false;
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!is_digit(peek())) fail("a digit expected");
      while (is_digit(peek())) ++at_;
    }
    const std::string_view digits = text_.substr(first, at_ - first);
    if (digits.size() > 64) fail("a number of more than 64 characters");
    value.number_ = to_double(digits);
    if (!std::isfinite(value.number_)) fail("a number out of range");
    if (integral) {
      const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value.integer_);
      value.integral_ = result.ec == std::errc{};
    }
  }

  uint32_t parse_hex4() {
    uint32_t code = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = peek();
      const int digit = is_digit(c)            ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) fail("four hexadecimal digits expected");
      code = code << 4 | static_cast<uint32_t>(digit);
      ++at_;
    }
    return code;
  }

  void append_escape(std::string& out) {
    const char c = peek();
    ++at_;
    switch (c) {
      case '"':
      case '\\':
      case '/':
        out += c;
        return;
      case 'b':
        out += '\b';
        return;
      case 'f':
        out += '\f';
        return;
      case 'n':
        out += '\n';
        return;
      case 'r':
        out += '\r';
        return;
      case 't':
        out += '\t';
        return;
      case 'u':
        break;
      default:
        --at_;
        fail("unknown escape");
    }
    uint32_t code = parse_hex4();
    if (code >= 0xdc00 && code <= 0xdfff) fail("half of a surrogate pair");
    if (code >= 0xd800 && code <= 0xdbff) {
      if (!accept_word("\\u")) fail("half of a surrogate pair");
      const uint32_t low = parse_hex4();
      if (low < 0xdc00 || low > 0xdfff) fail("half of a surrogate pair");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xc0 | code >> 6);
      out += static_cast<char>(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
      out += static_cast<char>(0xe0 | code >> 12);
      out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (code & 0x3f));
    } else {
      out += static_cast<char>(0xf0 | code >> 18);
      out += static_cast<char>(0x80 | (code >> 12 & 0x3f));
      out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (code & 0x3f));
    }
  }

  std::string parse_string() {
    expect('"');
    std::string out;
    while (true) {
      if (at_ >= text_.size()) fail("the text ends inside a string");
      const uint8_t c = static_cast<uint8_t>(text_[at_]);
      if (c == '"') {
        ++at_;
        return out;
      }
      if (c < 0x20) fail("a control character inside a string");
      if (c == '\\') {
        ++at_;
        append_escape(out);
        continue;
      }
      const size_t length = utf8_length(text_, at_);
      if (length == 0) fail("not UTF-8");
      out.append(text_.substr(at_, length));
      at_ += length;
    }
  }

  std::string_view text_;
  const std::string& source_;
  size_t at_ = 0;
  uint32_t values_ = 0;
};

const Json* Json::find(std::string_view key) const {
  for (const Member& member : members_)
    if (member.first == key) return &member.second;
  return nullptr;
}

Json parse_json(std::string_view text, const std::string& source) { return JsonParser(text, source).parse(); }

std::string quote_json(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<uint8_t>(c) < 0x20) {
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace polygraft
