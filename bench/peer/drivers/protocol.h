// The protocol between the benchmark and the programs that it measures, for drivers in C++.
//
// A driver reads commands from standard input, one a line, and answers each with one JSON object on a line. It first
// says {"driver": NAME, "device": TEXT}. Then:
//
//   setup kind=K streams=N context=N adapters=N tokens=N   {"ready": true, "note": TEXT} or {"unsupported": WHY}
//   measure                                                {"tokens": N, "seconds": S}
//   end                                                    {"ended": true}
//
// or {"error": TEXT}. A driver ends when its input does, so none outlives the benchmark. Between commands it is idle.
// Kinds:
//   decode   `streams` sequences with `context` tokens behind them; a measurement adds `tokens` to each, greedily
//   prefill  a measurement computes `streams` new prompts of `context` tokens up to their first output token
//   serve    a measurement takes `streams` such prompts all the way to `tokens` output tokens each
// Sequence i uses adapter i % `adapters`; 0: the base alone. With `bases=N` as well, which only polygraft is asked for, the
// last N sequences use the base.
#pragma once

#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>

namespace peer {

struct Case {
  std::string kind;
  uint32_t streams = 1, context = 0, adapters = 0, bases = 0, tokens = 0;
};

struct Measurement {
  uint64_t tokens = 0;
  double seconds = 0;
};

// Thrown by setup for what the program cannot do.
struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Driver {
 public:
  virtual ~Driver() = default;
  // Brings a case to where it can be measured, warmed up. Returns a remark on how it runs, or "".
  virtual std::string setup(const Case& c) = 0;
  virtual Measurement measure() = 0;
  virtual void end() = 0;
};

inline std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

inline void say(const std::string& json) {
  std::printf("%s\n", json.c_str());
  std::fflush(stdout);
}

inline Case parse_case(std::istringstream& words) {
  Case c;
  for (std::string word; words >> word;) {
    const size_t at = word.find('=');
    const std::string key = word.substr(0, at), value = at == std::string::npos ? "" : word.substr(at + 1);
    if (key == "kind") {
      c.kind = value;
      continue;
    }
    uint32_t* const field = key == "streams"    ? &c.streams
                            : key == "context"  ? &c.context
                            : key == "adapters" ? &c.adapters
                            : key == "bases"    ? &c.bases
                            : key == "tokens"   ? &c.tokens
                                                : nullptr;
    if (field == nullptr) throw std::runtime_error("setup has an unknown word: " + word);
    *field = static_cast<uint32_t>(std::stoul(value));
  }
  return c;
}

// Answers commands until the input ends. Returns the exit status.
inline int serve(Driver& driver, const std::string& name, const std::string& device) {
  say("{\"driver\":" + quoted(name) + ",\"device\":" + quoted(device) + "}");
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    try {
      if (command == "setup") {
        say("{\"ready\":true,\"note\":" + quoted(driver.setup(parse_case(words))) + "}");
      } else if (command == "measure") {
        const Measurement m = driver.measure();
        char seconds[32];
        std::snprintf(seconds, sizeof seconds, "%.9f", m.seconds);
        say("{\"tokens\":" + std::to_string(m.tokens) + ",\"seconds\":" + seconds + "}");
      } else if (command == "end") {
        driver.end();
        say("{\"ended\":true}");
      } else {
        throw std::runtime_error("unknown command: " + command);
      }
    } catch (const Unsupported& e) {
      say("{\"unsupported\":" + quoted(e.what()) + "}");
    } catch (const std::exception& e) {
      say("{\"error\":" + quoted(e.what()) + "}");
    }
  }
  return 0;
}

// Token ids that look random, the same in every run.
class Tokens {
 public:
  explicit Tokens(uint32_t vocabulary) : vocabulary_(vocabulary) {}
  uint32_t next() {
    state_ = state_ * 1664525u + 1013904223u;
    return static_cast<uint32_t>(uint64_t{state_} * vocabulary_ >> 32);
  }

 private:
  uint32_t vocabulary_, state_ = 1;
};

}  // namespace peer
