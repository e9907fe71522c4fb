#include "model/name_pattern.h"

#include <utility>

#include "model/error.h"

namespace polygraft {
namespace {

using Set = std::bitset<256>;

constexpr size_t kMaxPatternBytes = 2048;
constexpr uint32_t kMaxInstructions = 2048;
constexpr uint32_t kMaxDepth = 64;
constexpr uint32_t kMaxRepeat = 256;

Set range(int first, int last) {
  Set set;
  for (int c = first; c <= last; ++c) set.set(static_cast<size_t>(c));
  return set;
}
Set digits() { return range('0', '9'); }
Set word() { return digits() | range('a', 'z') | range('A', 'Z') | range('_', '_'); }
Set space() { return range('\t', '\r') | range(' ', ' '); }

// The class of an escape such as \d; false if `c` is none.
bool class_escape(char c, Set& set) {
  switch (c) {
    case 'd':
      set = digits();
      return true;
    case 'D':
      set = ~digits();
      return true;
    case 'w':
      set = word();
      return true;
    case 'W':
      set = ~word();
      return true;
    case 's':
      set = space();
      return true;
    case 'S':
      set = ~space();
      return true;
    default:
      return false;
  }
}

bool is_alphanumeric(char c) { return word().test(static_cast<uint8_t>(c)) && c != '_'; }

// A parsed piece of a pattern.
struct Node {
  enum class Kind : uint8_t { kEmpty, kSet, kAssert, kSequence, kAlternatives, kRepeat } kind = Kind::kEmpty;
  Set set;
  uint8_t assertion = 0;  // NamePattern::Op
  std::vector<Node> children;
  uint32_t least = 0, most = 0;  // of kRepeat; most = kUnlimited: no limit
};
constexpr uint32_t kUnlimited = ~uint32_t{0};

}  // namespace

class PatternCompiler {
 public:
  PatternCompiler(NamePattern& out, std::string_view text, const std::string& field)
      : out_(out), text_(text), field_(field) {}

  void compile() {
    if (text_.size() > kMaxPatternBytes) fail("is longer than " + std::to_string(kMaxPatternBytes) + " bytes");
    const Node root = parse_alternatives(0);
    if (at_ != text_.size()) fail("has a ) too many");
    emit(root);
    add(Op::kMatch);
  }

 private:
  using Op = NamePattern::Op;

  [[noreturn]] void fail(const std::string& what, pg_code code = PG_FAILED_PRECONDITION) const {
    throw Error(code, field_, "the pattern of " + field_ + " " + what);
  }
  [[noreturn]] void refuse(const std::string& what) const {
    fail("uses " + what + ", which is not served", PG_UNIMPLEMENTED);
  }

  bool more() const { return at_ < text_.size(); }
  char peek() const { return more() ? text_[at_] : '\0'; }
  bool accept(std::string_view what) {
    if (text_.substr(at_, what.size()) != what) return false;
    at_ += what.size();
    return true;
  }
  char next() {
    if (!more()) fail("ends too early");
    return text_[at_++];
  }

  static Node set_node(const Set& set) {
    Node node;
    node.kind = Node::Kind::kSet;
    node.set = set;
    return node;
  }
  static Node assert_node(Op op) {
    Node node;
    node.kind = Node::Kind::kAssert;
    node.assertion = static_cast<uint8_t>(op);
    return node;
  }
  static Set one(char c) {
    Set set;
    set.set(static_cast<uint8_t>(c));
    return set;
  }

  Node parse_alternatives(uint32_t depth) {
    if (depth > kMaxDepth) fail("nests deeper than " + std::to_string(kMaxDepth) + " groups");
    Node node;
    node.kind = Node::Kind::kAlternatives;
    do node.children.push_back(parse_sequence(depth));
    while (accept("|"));
    return node;
  }

  Node parse_sequence(uint32_t depth) {
    Node node;
    node.kind = Node::Kind::kSequence;
    while (more() && peek() != '|' && peek() != ')') node.children.push_back(parse_repeated(depth));
    return node;
  }

  Node parse_repeated(uint32_t depth) {
    Node atom = parse_atom(depth);
    while (more()) {
      Node repeat;
      repeat.kind = Node::Kind::kRepeat;
      if (accept("*")) {
        repeat.most = kUnlimited;
      } else if (accept("+")) {
        repeat.least = 1;
        repeat.most = kUnlimited;
      } else if (accept("?")) {
        repeat.most = 1;
      } else if (!parse_braces(repeat)) {
        return atom;
      }
      if (accept("+")) refuse("a possessive quantifier");
      accept("?");  // lazy: whether there is a match does not depend on it
      if (atom.kind == Node::Kind::kRepeat) fail("repeats a repetition");
      repeat.children.push_back(std::move(atom));
      atom = std::move(repeat);
    }
    return atom;
  }

  // {m}, {m,}, {,n} or {m,n}; anything else is a literal brace, as in Python.
  bool parse_braces(Node& repeat) {
    const size_t before = at_;
    const auto number = [&](uint32_t& value) {
      const size_t first = at_;
      value = 0;
      while (more() && peek() >= '0' && peek() <= '9' && value <= kMaxRepeat)
        value = value * 10 + static_cast<uint32_t>(text_[at_++] - '0');
      return at_ > first;
    };
    if (!accept("{")) return false;
    const bool has_least = number(repeat.least);
    bool has_most = false;
    if (accept(",")) {
      has_most = number(repeat.most);
      if (!has_most) repeat.most = kUnlimited;
    } else {
      repeat.most = repeat.least;
      has_most = has_least;
    }
    if (!accept("}") || (!has_least && !has_most)) {
      at_ = before;
      return false;
    }
    if (repeat.least > kMaxRepeat || (repeat.most != kUnlimited && repeat.most > kMaxRepeat))
      fail("repeats more than " + std::to_string(kMaxRepeat) + " times");
    if (repeat.most < repeat.least) fail("has a repetition whose limits are swapped");
    return true;
  }

  Node parse_atom(uint32_t depth) {
    const char c = next();
    switch (c) {
      case '.':
        return set_node(~one('\n'));
      case '^':
        return assert_node(Op::kBegin);
      case '$':
        return assert_node(Op::kEnd);
      case '[':
        return set_node(parse_class());
      case '(':
        return parse_group(depth);
      case '*':
      case '+':
      case '?':
        fail("repeats nothing");
      case '\\':
        return parse_escape();
      default:
        return set_node(one(c));
    }
  }

  Node parse_group(uint32_t depth) {
    if (accept("?P<")) {
      while (next() != '>') {
      }
    } else if (!accept("?:") && peek() == '?') {
      refuse("a group (?" + std::string(text_.substr(at_ + 1, 1)) + "…)");
    }
    Node node = parse_alternatives(depth + 1);
    if (!accept(")")) fail("lacks a )");
    return node;
  }

  Node parse_escape() {
    const char c = next();
    Set set;
    if (class_escape(c, set)) return set_node(set);
    switch (c) {
      case 'A':
        return assert_node(Op::kBegin);
      case 'Z':
        return assert_node(Op::kEnd);
      case 'b':
        return assert_node(Op::kWordEdge);
      case 'B':
        return assert_node(Op::kNoWordEdge);
      case 'n':
        return set_node(one('\n'));
      case 't':
        return set_node(one('\t'));
      default:
        break;
    }
    if (is_alphanumeric(c)) refuse(std::string("the escape \\") + c);
    return set_node(one(c));
  }

  Set parse_class() {
    Set set;
    const bool negated = accept("^");
    for (bool first = true; first || peek() != ']'; first = false) {
      char low = next();
      Set escape;
      if (low == '\\') {
        low = next();
        if (class_escape(low, escape)) {
          set |= escape;
          continue;
        }
        if (low == 'n')
          low = '\n';
        else if (low == 't')
          low = '\t';
        else if (is_alphanumeric(low))
          refuse(std::string("the escape \\") + low);
      }
      if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        char high = next();
        if (high == '\\') high = next();
        if (static_cast<uint8_t>(high) < static_cast<uint8_t>(low)) fail("has a class whose limits are swapped");
        set |= range(static_cast<uint8_t>(low), static_cast<uint8_t>(high));
      } else {
        set |= one(low);
      }
      if (!more()) fail("lacks a ]");
    }
    ++at_;
    return negated ? ~set : set;
  }

  uint32_t add(Op op, uint32_t x = 0, uint32_t y = 0) {
    if (out_.program_.size() >= kMaxInstructions) fail("is too large once its repetitions are written out");
    out_.program_.push_back({op, x, y});
    return static_cast<uint32_t>(out_.program_.size() - 1);
  }
  uint32_t here() const { return static_cast<uint32_t>(out_.program_.size()); }

  void emit(const Node& node) {
    // Repetitions of nothing add no instruction, but they nest.
    if (++emitted_ > 4 * kMaxInstructions) fail("is too large once its repetitions are written out");
    switch (node.kind) {
      case Node::Kind::kEmpty:
        return;
      case Node::Kind::kSet:
        out_.sets_.push_back(node.set);
        add(Op::kByte, static_cast<uint32_t>(out_.sets_.size() - 1));
        return;
      case Node::Kind::kAssert:
        add(static_cast<Op>(node.assertion));
        return;
      case Node::Kind::kSequence:
        for (const Node& child : node.children) emit(child);
        return;
      case Node::Kind::kAlternatives:
        emit_alternatives(node);
        return;
      case Node::Kind::kRepeat:
        emit_repeat(node);
        return;
    }
  }

  void emit_alternatives(const Node& node) {
    std::vector<uint32_t> exits;
    for (size_t i = 0; i + 1 < node.children.size(); ++i) {
      const uint32_t split = add(Op::kSplit, here() + 1);
      emit(node.children[i]);
      exits.push_back(add(Op::kJump));
      out_.program_[split].y = here();
    }
    emit(node.children.back());
    for (const uint32_t jump : exits) out_.program_[jump].x = here();
  }

  void emit_repeat(const Node& node) {
    const Node& child = node.children[0];
    for (uint32_t i = 0; i < node.least; ++i) emit(child);
    if (node.most == kUnlimited) {
      const uint32_t split = add(Op::kSplit, here() + 1);
      emit(child);
      add(Op::kJump, split);
      out_.program_[split].y = here();
      return;
    }
    std::vector<uint32_t> splits;
    for (uint32_t i = node.least; i < node.most; ++i) {
      splits.push_back(add(Op::kSplit, here() + 1));
      emit(child);
    }
    for (const uint32_t split : splits) out_.program_[split].y = here();
  }

  NamePattern& out_;
  std::string_view text_;
  const std::string& field_;
  size_t at_ = 0;
  uint32_t emitted_ = 0;
};

NamePattern::NamePattern(std::string_view pattern, const std::string& field) {
  PatternCompiler(*this, pattern, field).compile();
}

bool NamePattern::holds(Op assertion, std::string_view name, size_t at) const {
  const auto is_word = [&](size_t i) { return i < name.size() && word().test(static_cast<uint8_t>(name[i])); };
  const bool edge = (at > 0 && is_word(at - 1)) != is_word(at);
  switch (assertion) {
    case Op::kBegin:
      return at == 0;
    case Op::kEnd:
      return at == name.size();
    case Op::kWordEdge:
      return edge;
    default:
      return !edge;
  }
}

bool NamePattern::full_match(std::string_view name) const {
  std::vector<uint32_t> current, following, stack;
  std::vector<size_t> seen(program_.size(), ~size_t{0});  // the position at which an instruction was reached last
  // Follows everything that takes no byte.
  const auto reach = [&](uint32_t start, size_t at, std::vector<uint32_t>& out) {
    stack.assign(1, start);
    while (!stack.empty()) {
      const uint32_t i = stack.back();
      stack.pop_back();
      if (seen[i] == at) continue;
      seen[i] = at;
      const Instruction& in = program_[i];
      switch (in.op) {
        case Op::kByte:
        case Op::kMatch:
          out.push_back(i);
          break;
        case Op::kJump:
          stack.push_back(in.x);
          break;
        case Op::kSplit:
          stack.push_back(in.x);
          stack.push_back(in.y);
          break;
        default:
          if (holds(in.op, name, at)) stack.push_back(i + 1);
      }
    }
  };
  reach(0, 0, current);
  for (size_t at = 0; at < name.size(); ++at) {
    following.clear();
    for (const uint32_t i : current)
      if (program_[i].op == Op::kByte && sets_[program_[i].x].test(static_cast<uint8_t>(name[at])))
        reach(i + 1, at + 1, following);
    std::swap(current, following);
    if (current.empty()) return false;
  }
  for (const uint32_t i : current)
    if (program_[i].op == Op::kMatch) return true;
  return false;
}

}  // namespace polygraft
