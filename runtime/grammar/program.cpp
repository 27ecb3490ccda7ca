#include "runtime/grammar/program.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

namespace troupe {

namespace {

using kind = expression::kind;

failure invalid(std::string why) {
  return {errc::invalid_input, std::move(why)};
}

/// What is true of some expressions, as far as it is known of rules.
class property {
public:
  /// `of_leaf`: of what has no parts and is no rule.
  property(const grammar_rules& rules, bool (*of_leaf)(const expression&))
    : of_leaf_(of_leaf), of_rule_(rules.rules.size()) {
    auto n = of_rule_.size();
    bool up = false; // and down in turn, so that chains take few rounds
    for (bool changes = true; changes; up = !up) {
      changes = false;
      for (size_t i = 0; i < n; ++i) {
        auto at = up ? i : n - 1 - i;
        if (!of_rule_[at] && holds(*rules.rules[at]))
          changes = of_rule_[at] = true;
      }
    }
  }

  bool holds(const expression& x) const {
    auto is = [this](auto& y) { return holds(*y); };
    switch (x.what) {
      case kind::rule:
        return of_rule_[x.rule];
      case kind::sequence:
        return std::ranges::all_of(x.parts, is);
      case kind::choice:
        return std::ranges::any_of(x.parts, is);
      case kind::repeat:
        return x.least == 0 || std::ranges::all_of(x.parts, is);
      default:
        return of_leaf_(x);
    }
  }

private:
  bool (*of_leaf_)(const expression&);
  std::vector<bool> of_rule_;
};

/// Whether the empty text is one of its own.
bool is_nullable(const expression&) {
  return false; // bytes and what begins with them
}

/// Whether there is any text of it.
bool is_productive(const expression& x) {
  return x.what != kind::bytes || x.bytes.any();
}

/// Finds rules that come back to themselves with nothing written.
class left_recursion {
public:
  left_recursion(const grammar_rules& rules, const property& nullable)
    : rules_(rules), nullable_(nullable), state_(rules.rules.size()) {
  }

  bool found() {
    for (uint32_t i = 0; i < state_.size(); ++i)
      if (state_[i] == state::unknown && !visit(i))
        return true;
    return false;
  }

private:
  enum class state : uint8_t { unknown, open, done };

  /// Depth first, without recursion: there may be many rules.
  bool visit(uint32_t rule) {
    std::vector<std::vector<uint32_t>> left{calls_of(rule)};
    std::vector<uint32_t> path{rule};
    state_[rule] = state::open;
    while (!path.empty()) {
      if (left.back().empty()) {
        state_[path.back()] = state::done;
        path.pop_back();
        left.pop_back();
        continue;
      }
      auto next = left.back().back();
      left.back().pop_back();
      if (state_[next] == state::open)
        return false;
      if (state_[next] == state::done)
        continue;
      state_[next] = state::open;
      path.push_back(next);
      left.push_back(calls_of(next));
    }
    return true;
  }

  std::vector<uint32_t> calls_of(uint32_t rule) const {
    std::vector<uint32_t> out;
    collect(*rules_.rules[rule], out);
    return out;
  }

  void collect(const expression& x, std::vector<uint32_t>& out) const {
    if (x.what == kind::rule)
      out.push_back(x.rule);
    for (auto& part : x.parts) {
      collect(*part, out);
      if (x.what == kind::sequence && !nullable_.holds(*part))
        return;
    }
  }

  const grammar_rules& rules_;
  const property& nullable_;
  std::vector<state> state_;
};

struct byte_set_order {
  bool operator()(const byte_set& a, const byte_set& b) const {
    return std::memcmp(&a, &b, sizeof a) < 0;
  }
};

/// Writes code from the end of each rule to its beginning, since every step
/// knows the next.
class writer {
public:
  writer(const grammar_rules& rules, const property& nullable,
         const property& productive)
    : rules_(rules), nullable_(nullable), productive_(productive),
      begin_of_(rules.rules.size(), none) {
  }

  /// False: too large.
  bool write() {
    end_ = put({});
    open_.push_back(rules_.start);
    while (!open_.empty() && !full()) {
      auto rule = open_.back();
      open_.pop_back();
      if (begin_of_[rule] == none)
        begin_of_[rule] = write(*rules_.rules[rule], end_);
    }
    if (full())
      return false;
    for (auto [step, rule] : calls_)
      out_.code[step].other = begin_of_[rule];
    out_.start = begin_of_[rules_.start];
    return true;
  }

  grammar_program take() {
    return std::move(out_);
  }

private:
  static constexpr uint32_t none = UINT32_MAX;

  bool full() const {
    return out_.code.size() > max_grammar_steps;
  }

  uint32_t put(const grammar_step& x) {
    if (!full())
      out_.code.push_back(x);
    return static_cast<uint32_t>(out_.code.size() - 1);
  }

  /// Returns the place where `x` begins, behind which `next` comes.
  uint32_t write(const expression& x, uint32_t next) {
    using enum grammar_step::kind;
    if (full())
      return next;
    switch (x.what) {
      case kind::bytes:
        return put({.what = bytes, .next = next, .which = set_of(x.bytes)});
      case kind::mark:
        return put({.what = mark, .next = next, .which = mark_of(x.mark)});
      case kind::sequence:
        for (auto i = x.parts.rbegin(); i != x.parts.rend(); ++i)
          next = write(**i, next);
        return next;
      case kind::choice:
        return write_choice(x, next);
      case kind::repeat:
        return write_repeat(x, next);
      case kind::rule:
        break;
    }
    open_.push_back(x.rule);
    auto at = put({.what = call, .next = next});
    calls_.emplace_back(at, x.rule);
    return at;
  }

  uint32_t write_choice(const expression& x, uint32_t next) {
    auto out = none;
    for (auto i = x.parts.rbegin(); i != x.parts.rend(); ++i) {
      if (!productive_.holds(**i))
        continue;
      auto at = write(**i, next);
      out = out == none
              ? at
              : put(
                {.what = grammar_step::kind::split, .next = at, .other = out});
    }
    return out;
  }

  uint32_t write_repeat(const expression& x, uint32_t next) {
    using enum grammar_step::kind;
    auto& body = *x.parts.front();
    if (x.most == 0 || !productive_.holds(body))
      return next;
    auto least = nullable_.holds(body) ? 0 : x.least;
    if (least == 1 && x.most == 1)
      return write(body, next);
    if (least == 0 && x.most == 1)
      return put({.what = split, .next = write(body, next), .other = next});
    auto at = put({.what = least == 0 && x.most == unlimited ? split : loop,
                   .next = next,
                   .least = least,
                   .most = x.most});
    auto is_split = out_.code[at].what == split;
    auto begin = write(body, is_split ? at : end_);
    out_.code[at].other = begin;
    return at;
  }

  uint32_t set_of(const byte_set& x) {
    auto [i, is_new] = sets_.emplace(x, out_.sets.size());
    if (is_new)
      out_.sets.push_back(x);
    return i->second;
  }

  uint32_t mark_of(const std::string& x) {
    auto i = std::ranges::find(out_.marks, x);
    if (i == out_.marks.end())
      i = out_.marks.insert(i, x);
    return static_cast<uint32_t>(i - out_.marks.begin());
  }

  const grammar_rules& rules_;
  const property& nullable_;
  const property& productive_;
  std::vector<uint32_t> begin_of_;                   ///< By rule.
  std::vector<uint32_t> open_;                       ///< Rules that are called.
  std::vector<std::pair<uint32_t, uint32_t>> calls_; ///< Step, rule.
  std::map<byte_set, uint32_t, byte_set_order> sets_;
  uint32_t end_ = 0;
  grammar_program out_;
};

/// Bytes that are in the same sets.
void classify(grammar_program& x) {
  std::map<std::vector<bool>, uint8_t> known;
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::vector<bool> in;
    for (auto& set : x.sets)
      in.push_back(set[byte]);
    auto [i, is_new] = known.emplace(in,
                                     static_cast<uint8_t>(x.classes.size()));
    if (is_new)
      x.classes.push_back(static_cast<uint8_t>(byte));
    x.class_of[byte] = i->second;
  }
}

} // namespace

result<grammar_program> make_program(const grammar_rules& rules) {
  if (rules.rules.size() > max_grammar_rules)
    return invalid("it is too large: it has more than "
                   + std::to_string(max_grammar_rules) + " rules");
  property nullable{rules, is_nullable};
  property productive{rules, is_productive};
  if (!productive.holds(*rules.rules[rules.start]))
    return invalid("no text fulfils it");
  if (left_recursion{rules, nullable}.found())
    return invalid("a rule calls itself before anything is written");
  writer code{rules, nullable, productive};
  if (!code.write())
    return invalid("it is too large: it has more than "
                   + std::to_string(max_grammar_steps) + " steps");
  auto out = code.take();
  classify(out);
  return out;
}

} // namespace troupe
