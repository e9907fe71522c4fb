// A test framework in one header: the engine's tests need a compiler and CMake, nothing else.
//
//   TEST(sum_is_commutative) { CHECK_EQ(add(1, 2), add(2, 1)); }
//
// A failed check reports and the test goes on, except REQUIRE, which ends the test. Arguments of the executable are
// substrings of test names; without any, all tests run. The last line printed is "N passed, N failed".
#pragma once

#include <cmath>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "model/error.h"

namespace check {

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

// Failures of the running test.
inline int& failures() {
  static int count = 0;
  return count;
}

struct Register {
  Register(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

// Ends a test early; thrown by REQUIRE.
struct Abort {};

inline void fail(const char* file, int line, const std::string& what) {
  ++failures();
  std::cerr << file << ":" << line << ": " << what << "\n";
}

template <class T>
std::string show(const T& value) {
  std::ostringstream out;
  if constexpr (std::is_enum_v<T>) {
    out << static_cast<long long>(value);
  } else if constexpr (std::is_floating_point_v<T>) {
    out.precision(17);
    out << value;
  } else if constexpr (requires { out << value; }) {
    out << +value;
  } else {
    out << "(value)";
  }
  return out.str();
}
inline std::string show(const std::string& value) { return '"' + value + '"'; }
inline std::string show(const char* value) { return std::string("\"") + value + '"'; }

template <class A, class B>
bool equal(const A& a, const B& b) {
  if constexpr (std::is_integral_v<A> && std::is_integral_v<B> && !std::is_same_v<A, bool> &&
                !std::is_same_v<A, char> && !std::is_same_v<B, bool> && !std::is_same_v<B, char>) {
    return std::cmp_equal(a, b);
  } else {
    return a == b;
  }
}

template <class A, class B>
void equals(const char* file, int line, const char* what, const A& actual, const B& expected) {
  if (!equal(actual, expected))
    fail(file, line, std::string(what) + " is " + show(actual) + ", expected " + show(expected));
}

inline void near(const char* file, int line, const char* what, double actual, double expected, double bound) {
  if (!(std::abs(actual - expected) <= bound))
    fail(file, line,
         std::string(what) + " is " + show(actual) + ", expected " + show(expected) + " within " + show(bound));
}

// Runs `body`, which must throw polygraft::Error with this code and field; empty message part: any message.
inline void throws(const char* file, int line, pg_code code, const std::string& field, const std::string& part,
                   const std::function<void()>& body) {
  try {
    body();
  } catch (const polygraft::Error& e) {
    if (e.code() != code) fail(file, line, "code " + show(e.code()) + ", expected " + show(code) + ": " + e.what());
    if (e.field() != field) fail(file, line, "field \"" + e.field() + "\", expected \"" + field + "\": " + e.what());
    if (std::string(e.what()).find(part) == std::string::npos)
      fail(file, line, "message \"" + std::string(e.what()) + "\" lacks \"" + part + "\"");
    return;
  }
  fail(file, line, "nothing thrown, expected code " + show(code) + " for \"" + field + "\"");
}

}  // namespace check

#define TEST(name)                                                   \
  static void test_##name();                                         \
  static const check::Register register_##name{#name, &test_##name}; \
  static void test_##name()

#define CHECK(condition)                                                  \
  do {                                                                    \
    if (!(condition)) check::fail(__FILE__, __LINE__, "not " #condition); \
  } while (false)

#define REQUIRE(condition)                                \
  do {                                                    \
    if (!(condition)) {                                   \
      check::fail(__FILE__, __LINE__, "not " #condition); \
      throw check::Abort{};                               \
    }                                                     \
  } while (false)

#define CHECK_EQ(actual, expected) check::equals(__FILE__, __LINE__, #actual, (actual), (expected))

// |actual - expected| <= bound; NaN fails.
#define CHECK_NEAR(actual, expected, bound) check::near(__FILE__, __LINE__, #actual, (actual), (expected), (bound))

// The statement throws polygraft::Error with this code, field and part of its message.
#define CHECK_THROWS(code, field, part, ...) check::throws(__FILE__, __LINE__, code, field, part, [&] { __VA_ARGS__; })
