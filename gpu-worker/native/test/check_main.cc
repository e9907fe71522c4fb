// Runs the tests that check.h registered.
#include <cstring>
#include <exception>

#include "test/check.h"

int main(int argc, char** argv) {
  int passed = 0, failed = 0;
  for (const check::Test& test : check::tests()) {
    bool wanted = argc == 1;
    for (int i = 1; i < argc; ++i) wanted = wanted || std::strstr(test.name, argv[i]) != nullptr;
    if (!wanted) continue;
    check::failures() = 0;
    try {
      test.run();
    } catch (const check::Abort&) {
    } catch (const std::exception& e) {
      check::fail(test.name, 0, std::string("threw ") + e.what());
    }
    std::cerr << (check::failures() == 0 ? "ok   " : "FAIL ") << test.name << "\n";
    ++(check::failures() == 0 ? passed : failed);
  }
  std::cout << passed << " passed, " << failed << " failed\n";
  return failed == 0 && passed > 0 ? 0 : 1;
}
