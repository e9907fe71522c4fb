#include "model/name_pattern.h"

#include "test/check.h"

using namespace polygraft;

namespace {

bool match(const std::string& pattern, const std::string& name) {
  return NamePattern(pattern, "target_modules").full_match(name);
}
constexpr const char* kName = "model.layers.3.self_attn.q_proj";

}  // namespace

// Each line was checked with Python's re.fullmatch.
TEST(patterns_match_as_in_python) {
  CHECK(match("abc", "abc"));
  CHECK(!match("abc", "abcd"));
  CHECK(!match("abc", "ab"));
  CHECK(match("", ""));
  CHECK(!match("", "a"));
  CHECK(match("a|bc", "bc"));
  CHECK(!match("a|bc", "abc"));
  CHECK(match("a|", ""));
  CHECK(match("(a|b)*c", "ababc"));
  CHECK(match("a+", "aaa"));
  CHECK(!match("a+", ""));
  CHECK(match("colou?r", "color"));
  CHECK(match("a{2,3}", "aaa"));
  CHECK(!match("a{2,3}", "aaaa"));
  CHECK(match("a{2}", "aa"));
  CHECK(match("a{2,}", "aaaaa"));
  CHECK(match("a{,2}", ""));
  CHECK(!match("a{,2}", "aaa"));
  CHECK(match("a{x}", "a{x}"));
  CHECK(match("[a-c]+", "abc"));
  CHECK(!match("[^a-c]+", "dxb"));
  CHECK(match("[]a]+", "a]"));
  CHECK(match("[a-]+", "-a"));
  CHECK(match("[\\d_]+", "3_4"));
  CHECK(match("\\d+\\.\\w+", "12.q_proj"));
  CHECK(match("\\D\\W\\S", "a.b"));
  CHECK(match("a.c", "axc"));
  CHECK(!match("a\\.c", "axc"));
  CHECK(match("^a$", "a"));
  CHECK(!match("a^b", "ab"));
  CHECK(match("(?:ab)+", "abab"));
  CHECK(match("(?P<idx>\\d)x", "1x"));
  CHECK(match("a.*?c", "abcc"));
  CHECK(match("\\bq_proj\\b", "q_proj"));
  CHECK(match(".*\\b3\\b.*", kName));
  CHECK(!match(".*\\bproj\\b.*", kName));
  CHECK(match("a\\Bb", "ab"));
  CHECK(match("(a*)*", "aaaa"));
  CHECK(match("(a|a)*b", "aab"));
}

TEST(patterns_that_adapters_use) {
  CHECK(match(".*", kName));
  CHECK(match(".*\\.(q|v)_proj", kName));
  CHECK(!match(".*\\.(k|v)_proj", kName));
  CHECK(match("model\\.layers\\.(?:[0-9]|1[0-5])\\.self_attn\\.[qkvo]_proj", kName));
  CHECK(
      match("(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|v_proj).*?)|"
            "(?:\\bmodel\\.layers\\.[\\d]{1,}\\.(?:self_attn|mlp)\\.(?:(?:q_proj|v_proj)))",
            kName));
  CHECK(match("(.*\\.)?(q_proj)$", kName));
  CHECK(match("(.*\\.)?(^model.layers.3.self_attn.q_proj)$", kName));
  CHECK(!match("(.*\\.)?(^layers.3.self_attn.q_proj)$", kName));
  CHECK(!match("(.*\\.)?(proj)$", kName));
}

// A backtracking matcher would need some 2^40 steps for these.
TEST(no_pattern_takes_long) {
  const std::string name(40, 'a');
  CHECK(!match("(a+)+b", name));
  CHECK(!match("(a|a)*b", name));
  CHECK(!match("(a?){40}a{40}b", name));
  CHECK(match("(a?){40}a{40}", name));
}

TEST(what_is_not_served_is_refused) {
  for (const char* pattern : {"(?=a)b", "(?!a)b", "(?<=a)b", "(?i)a", "(a)\\1", "a*+", "(?#x)", "\\x41"})
    CHECK_THROWS(PG_UNIMPLEMENTED, "target_modules", "not served", match(pattern, "a"));
}

TEST(broken_patterns_are_refused) {
  for (const char* pattern : {"(a", "a)", "[a", "*a", "a**", "a{3,2}", "\\", "[b-a]", "a{999}", "(?P<x"})
    CHECK_THROWS(PG_FAILED_PRECONDITION, "target_modules", "the pattern of target_modules", match(pattern, "a"));
}

TEST(size_and_depth_are_bounded) {
  const auto refused = [](const std::string& pattern) {
    CHECK_THROWS(PG_FAILED_PRECONDITION, "target_modules", "", match(pattern, "a"));
  };
  refused(std::string(3000, 'a'));
  refused(std::string(100, '(') + std::string(100, ')'));
  refused("((a{200}){200}){200}");
  refused("((((){200}){200}){200}){200}");
}
