// The regular expressions of PEFT configs (Python's `re`), matched against module names.
//
// They come from strangers, so they run on a Thompson automaton: time is bounded by pattern times name, where a
// backtracking matcher such as std::regex can take exponential time or exhaust the stack. Served are literals, `.`,
// classes, \d \w \s \b and their opposites, groups (also (?:) and (?P<name>), alternatives, anchors, and the
// quantifiers
// * + ? {m,n}, greedy or lazy. Backreferences, lookaround and flags are refused.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace polygraft {

class NamePattern {
 public:
  // Throws Error(PG_UNIMPLEMENTED, field) for what is not served, PG_FAILED_PRECONDITION for what is no pattern or too
  // large.
  NamePattern(std::string_view pattern, const std::string& field);

  // Python's re.fullmatch(pattern, name) is not None.
  bool full_match(std::string_view name) const;

 private:
  friend class PatternCompiler;
  enum class Op : uint8_t { kByte, kSplit, kJump, kBegin, kEnd, kWordEdge, kNoWordEdge, kMatch };
  struct Instruction {
    Op op;
    uint32_t x = 0, y = 0;  // kSplit, kJump: targets; kByte: x indexes sets_
  };

  bool holds(Op assertion, std::string_view name, size_t at) const;

  std::vector<Instruction> program_;
  std::vector<std::bitset<256>> sets_;
};

}  // namespace polygraft
