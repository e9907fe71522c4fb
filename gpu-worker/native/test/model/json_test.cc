#include "model/json.h"

#include "test/check.h"

using namespace polygraft;

namespace {

Json parse(const std::string& text) { return parse_json(text, "test.json"); }
void refused(const std::string& text, const std::string& part) {
  CHECK_THROWS(PG_DATA_LOSS, "test.json", part, parse(text));
}

}  // namespace

TEST(values_of_every_type) {
  const Json json = parse(R"( {"a": null, "b": [true, false], "c": -12, "d": 1.5e3, "e": "x", "f": {}} )");
  CHECK(json.is_object());
  CHECK_EQ(json.members().size(), 6u);
  CHECK(json.find("a")->is_null());
  CHECK(json.find("b")->array()[0].boolean());
  CHECK(!json.find("b")->array()[1].boolean());
  CHECK(json.find("c")->is_integer());
  CHECK_EQ(json.find("c")->integer(), -12);
  CHECK(!json.find("d")->is_integer());
  CHECK_EQ(json.find("d")->number(), 1500.0);
  CHECK_EQ(json.find("e")->string(), std::string("x"));
  CHECK(json.find("f")->is_object());
  CHECK(json.find("g") == nullptr);
}

TEST(integers_are_exact_and_too_large_ones_are_none) {
  CHECK_EQ(parse("9007199254740993").integer(), 9007199254740993);
  CHECK_EQ(parse("-9223372036854775808").integer(), INT64_MIN);
  CHECK(!parse("9223372036854775808").is_integer());
  CHECK_EQ(parse("9223372036854775808").number(), 9223372036854775808.0);
  CHECK(!parse("1.0").is_integer());
  CHECK_EQ(parse("0").integer(), 0);
}

TEST(escapes_and_unicode) {
  CHECK_EQ(parse(R"("\"\\\/\b\f\n\r\t")").string(), std::string("\"\\/\b\f\n\r\t"));
  CHECK_EQ(parse(R"("\u00e9\u20ac\ud83d\ude00")").string(), std::string("é€😀"));
  CHECK_EQ(parse("\"é€😀\"").string(), std::string("é€😀"));
  CHECK_EQ(parse(R"("\u0000")").string(), std::string(1, '\0'));
}

TEST(quote_is_the_inverse_of_parse) {
  const std::string text = "a\"b\\c\n\x01 é";
  CHECK_EQ(parse(quote_json(text)).string(), text);
}

TEST(broken_texts_are_refused) {
  refused("", "a value expected");
  refused("{", "the text ends");
  refused(R"({"a":1)", "ends where '}'");
  refused(R"({"a" 1})", "':' expected");
  refused(R"({a:1})", "'\"' expected");
  refused("[1,]", "a value expected");
  refused("[1 2]", "']' expected");
  refused("01", "begin with 0");
  refused("-", "a digit expected");
  refused("1.", "a digit expected");
  refused("1e", "a digit expected");
  refused("1e999", "out of range");
  refused("NaN", "a value expected");
  refused("Infinity", "a value expected");
  refused("nul", "a value expected");
  refused("1 2", "more text");
  refused("\"a", "ends inside");
  refused("\"a\nb\"", "control character");
  refused(R"("\x")", "unknown escape");
  refused(R"("\u12g4")", "hexadecimal");
  refused(R"("\ud800")", "surrogate");
  refused(R"("\ud800\u0041")", "surrogate");
  refused(R"("\udc00")", "surrogate");
  refused(std::string("\"\xff\""), "UTF-8");
  refused(std::string("\"\xc0\xaf\""), "UTF-8");          // overlong
  refused(std::string("\"\xed\xa0\x80\""), "UTF-8");      // surrogate
  refused(std::string("\"\xf4\x90\x80\x80\""), "UTF-8");  // above U+10FFFF
  refused(std::string("\"\xe2\x82"), "UTF-8");            // cut off
  refused(std::string(1, '\0'), "a value expected");
}

TEST(twins_are_refused_at_any_depth) {
  refused(R"({"a":1,"b":2,"a":3})", "appears twice");
  refused(R"({"x":{"a":1,"\u0061":3}})", "appears twice");
}

TEST(depth_and_count_are_bounded) {
  CHECK(parse(std::string(32, '[') + std::string(32, ']')).is_array());
  refused(std::string(34, '[') + std::string(34, ']'), "nested deeper");
  refused(std::string(1'000'000, '['), "nested deeper");
  std::string many = "[0";
  for (uint32_t i = 0; i < kJsonMaxValues; ++i) many += ",0";
  refused(many + "]", "more than");
  refused(std::string(65, '1'), "64 characters");
}
