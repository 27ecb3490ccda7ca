#include "runtime/text/template_reading.hpp"

#include "runtime/text/template_switch.hpp"
#include "runtime/text/template_vocabulary.hpp"

#include <algorithm>
#include <span>

namespace troupe {

namespace {

using kind = template_token_kind;
using tokens = std::span<const template_token>;

bool opens(const template_token& x) {
  return x.is_symbol("(") || x.is_symbol("[");
}

bool closes(const template_token& x) {
  return x.is_symbol(")") || x.is_symbol("]");
}

/// The index of the bracket that closes the one at `i`, or the end.
size_t closing(tokens x, size_t i) {
  int depth = 0;
  for (; i < x.size(); ++i) {
    depth += opens(x[i]) ? 1 : closes(x[i]) ? -1 : 0;
    if (depth == 0)
      return i;
  }
  return x.size();
}

/// Whether the token at `i` goes on with the value before it.
bool is_postfix(tokens x, size_t i) {
  return i < x.size()
         && (x[i].is_symbol(".") || x[i].is_symbol("|") || opens(x[i]));
}

bool is_constant(std::string_view name) {
  return name == "true" || name == "True" || name == "false" || name == "False"
         || name == "none" || name == "None";
}

bool breaks(std::string_view name) {
  return name == "if" || name == "else" || name == "and" || name == "or"
         || name == "not" || name == "in" || name == "is" || is_constant(name);
}

bool says(const std::vector<template_token>& x, std::string_view word) {
  return std::any_of(x.begin(), x.end(), [&](auto& t) {
    return t.kind == kind::string && t.value == word;
  });
}

/// Whether a condition holds for system messages and no others.
bool is_for_systems(const std::vector<template_token>& head) {
  auto differs = std::any_of(head.begin(), head.end(),
                             [](auto& t) { return t.is_symbol("!="); });
  return says(head, "system") && !differs && !says(head, "user")
         && !says(head, "assistant") && !says(head, "tool");
}

/// A block that the tag at hand stands in.
struct open_block {
  bool is_for = false;
  std::vector<template_token> head;
};

class template_reader {
public:
  template_reader(const template_scope& scope, template_reading& to)
    : scope_(scope), to_(to) {
  }

  void read(const template_tag& tag) {
    switch (tag.what) {
      case template_tag::kind::text:
        append(phrase_.atoms, atoms_of(tag.text));
        break;
      case template_tag::kind::output:
        expression(tag.tokens);
        break;
      case template_tag::kind::block:
        flush();
        block(tag);
        flush();
        break;
    }
  }

  void flush() {
    if (!phrase_.atoms.empty()) {
      place(phrase_);
      phrase_.target = target_;
      to_.phrases.push_back(std::move(phrase_));
    }
    phrase_ = {};
  }

private:
  void block(const template_tag& tag) {
    if (tag.is_block("set"))
      return assignment(tag.tokens);
    if (tag.is_block("endif") || tag.is_block("endfor")) {
      if (!open_.empty())
        open_.pop_back();
      return;
    }
    words_of(tag.tokens);
    if (tag.is_block("if") || tag.is_block("for"))
      open_.push_back({tag.is_block("for"), tag.tokens});
    else if (!open_.empty() && !tag.is_block("macro"))
      open_.back().head = tag.tokens; // else, elif
  }

  void place(template_phrase& x) const {
    for (auto& block : open_) {
      auto& head = block.head;
      auto calls = std::any_of(head.begin(), head.end(),
                               [](auto& t) { return t.value == "tool_calls"; });
      x.in_calls |= block.is_for && calls;
      x.in_systems |= is_for_systems(head);
    }
    if (open_.empty())
      return;
    auto& head = open_.back().head;
    x.separates = head.size() == 5 && head[1].is_name("not")
                  && head[2].is_name("loop") && head[4].is_name("first");
  }

  void assignment(tokens x) {
    size_t i = 1;
    while (i < x.size() && !x[i].is_symbol("="))
      ++i;
    auto& name = x[i - 1].value;
    if (scope_.constants.contains(name))
      return; // looked at where it is written
    target_ = name;
    expression(x.subspan(std::min(i + 1, x.size())));
    flush();
    target_.clear();
  }

  /// What stands side by side in `x` is one phrase.
  void expression(tokens x) {
    bool in_condition = false;
    for (size_t i = 0; i < x.size();) {
      if (x[i].kind == kind::name && breaks(x[i].value)) {
        flush();
        if (x[i].is_name("if"))
          in_condition = true;
        else if (x[i].is_name("else"))
          in_condition = false;
        ++i;
      } else if (in_condition) {
        words_of(x.subspan(i, 1));
        ++i;
      } else {
        i = term(x, i);
      }
    }
  }

  /// Returns the index behind the term at `i`.
  size_t term(tokens x, size_t i) {
    if (x[i].kind == kind::string || x[i].kind == kind::name) {
      if (!is_postfix(x, i + 1)) {
        written(x, i);
        return i + 1;
      }
      return value(x, i, i + 1);
    }
    if (opens(x[i])) {
      auto end = closing(x, i);
      if (x[i].is_symbol("[") || is_postfix(x, end + 1))
        return value(x, i, std::min(end + 1, x.size()));
      flush();
      expression(x.subspan(i + 1, end - i - 1));
      flush();
      return std::min(end + 1, x.size());
    }
    if (!x[i].is_symbol("+") && !x[i].is_symbol("~"))
      flush();
    return i + 1;
  }

  void written(tokens x, size_t i) {
    auto& value = x[i].value;
    auto constant = scope_.constants.find(value);
    if (x[i].kind == kind::string)
      append_literal(x, i);
    else if (constant != scope_.constants.end())
      append(phrase_.atoms, atoms_of(constant->second));
    else if (value == "bos_token")
      phrase_.atoms.emplace_back(bos_atom);
    else if (value == "eos_token")
      phrase_.atoms.emplace_back(eos_atom);
    else
      phrase_.atoms.emplace_back(value_atom);
  }

  void append_literal(tokens x, size_t i) {
    auto compares = [&](size_t k) {
      return k < x.size()
             && (x[k].is_symbol("==") || x[k].is_symbol("!=")
                 || x[k].is_name("in"));
    };
    if (compares(i - 1) || compares(i + 1))
      to_.words.insert(x[i].value);
    else
      append(phrase_.atoms, atoms_of(x[i].value));
  }

  /// A value from `i` on, of which what `next` points to is more. What it is
  /// made from is not written as it stands.
  size_t value(tokens x, size_t i, size_t next) {
    while (is_postfix(x, next))
      if (opens(x[next]))
        next = std::min(closing(x, next) + 1, x.size());
      else
        next = std::min(next + 2, x.size());
    words_of(x.subspan(i, next - i));
    phrase_.atoms.emplace_back(value_atom);
    return next;
  }

  void words_of(tokens x) {
    for (size_t i = 0; i < x.size(); ++i) {
      if (x[i].kind != kind::string)
        continue;
      bool joins = i > 1 && x[i - 2].is_name("join");
      (joins ? to_.joints : to_.words).insert(x[i].value);
    }
  }

  const template_scope& scope_;
  template_reading& to_;
  std::vector<open_block> open_;
  template_phrase phrase_; // not whole yet
  std::string target_;     // of the assignment at hand
};

} // namespace

result<template_reading> read_template(std::string_view source) {
  auto tags = tags_of_template(source);
  if (!tags)
    return tags.why();
  auto scope = scope_of(*tags);
  auto plain = without_declared_tools(std::move(*tags));
  template_reading out;
  if (auto ok = check_vocabulary(plain, scope, out.uses); !ok)
    return ok.why();
  template_reader reader{scope, out};
  for (auto& tag : plain)
    reader.read(tag);
  reader.flush();
  for (auto& tag : plain)
    if (auto ok = read_switches(tag.tokens, out); !ok)
      return ok.why();
  out.tags = std::move(plain);
  return out;
}

} // namespace troupe
