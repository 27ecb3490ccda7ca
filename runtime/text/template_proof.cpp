#include "runtime/text/template_proof.hpp"

#include "runtime/text/template_expression.hpp"

#include <algorithm>

namespace troupe {

namespace {

using value = template_value;
using tags = std::span<const template_tag>;
using tokens = std::span<const template_token>;

constexpr std::string_view role_names[] = {"system", "user", "assistant",
                                           "tool"};

bool is_name(const template_token& x) {
  return x.kind == template_token_kind::name;
}

/// One walk through a template. Its steps are counted, so it ends.
class template_walk : public template_names {
public:
  explicit template_walk(tags all) : all_(all), scopes_(1) {
  }

  void set(const std::string& name, value x) {
    scopes_.back()[name] = std::move(x);
  }

  std::optional<std::string> run() {
    range(0, all_.size());
    return failed_ ? std::nullopt : std::optional{std::move(out_)};
  }

  value lookup(const std::string& name) const override {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
      if (auto it = scope->find(name); it != scope->end())
        return it->second;
    return {};
  }

  value call(const std::string& name, std::vector<value> given) override {
    auto macro = macros_.find(name);
    if (macro == macros_.end() || scopes_.size() > max_scopes) {
      failed_ = true;
      return {};
    }
    auto& head = all_[macro->second].tokens; // macro NAME ( A , B )
    scopes_.emplace_back();
    for (size_t i = 3, n = 0; i < head.size(); ++i)
      if (is_name(head[i]) && n < given.size())
        set(head[i].value, given[n++]);
    std::string before;
    before.swap(out_);
    range(macro->second + 1, end_of(macro->second));
    before.swap(out_);
    scopes_.pop_back();
    return value::of(std::move(before));
  }

private:
  static constexpr int max_steps = 100'000;
  static constexpr size_t max_scopes = 64;

  /// The block that ends the one begun at `i`.
  size_t end_of(size_t i) {
    auto& keyword = all_[i].tokens.front().value;
    int depth = 0;
    for (; i < all_.size() && step(); ++i) {
      depth += all_[i].is_block(keyword);
      depth -= all_[i].is_block("end" + keyword);
      if (depth == 0)
        return i;
    }
    failed_ = true;
    return all_.size();
  }

  bool step() {
    failed_ |= ++steps_ > max_steps || out_.size() > max_steps;
    return !failed_;
  }

  void range(size_t begin, size_t end) {
    for (auto i = begin; i < end && step();)
      i = one(i);
  }

  /// Returns the index of the tag after what begins at `i`.
  size_t one(size_t i) {
    auto& tag = all_[i];
    if (tag.what == template_tag::kind::text)
      out_ += tag.text;
    else if (tag.what == template_tag::kind::output)
      write(evaluate(tag.tokens));
    else if (tag.is_block("if"))
      return branches(i);
    else if (tag.is_block("for"))
      return loop(i);
    else if (tag.is_block("macro"))
      return macro(i);
    else if (tag.is_block("set"))
      assign(tag.tokens);
    else
      failed_ = true; // an end without a beginning
    return i + 1;
  }

  void write(const value& x) {
    if (x.what == value::kind::text)
      out_ += x.text;
    else
      failed_ |= x.what != value::kind::undefined;
  }

  value evaluate(tokens x) {
    template_expression expression{x, *this};
    auto out = expression.evaluate();
    failed_ |= expression.failed() || expression.position() < x.size();
    return out;
  }

  size_t branches(size_t begin) {
    auto end = end_of(begin);
    for (auto i = begin; i < end;) {
      auto next = branch_after(i, end);
      auto condition = tokens{all_[i].tokens}.subspan(1);
      if (condition.empty() || evaluate(condition).holds()) {
        range(i + 1, next);
        break;
      }
      i = next;
    }
    return end + 1;
  }

  /// The else or elif that belongs to the branch at `i`, or the end.
  size_t branch_after(size_t i, size_t end) {
    int depth = 0;
    while (++i < end && step()) {
      auto& tag = all_[i];
      if (depth == 0 && (tag.is_block("elif") || tag.is_block("else")))
        return i;
      depth += tag.is_block("if") || tag.is_block("for");
      depth -= tag.is_block("endif") || tag.is_block("endfor");
    }
    return end;
  }

  /// for NAME in LIST [if CONDITION]
  size_t loop(size_t begin) {
    auto end = end_of(begin);
    auto head = tokens{all_[begin].tokens};
    auto otherwise = branch_after(begin, end);
    auto at = std::find_if(head.begin(), head.end(),
                           [](auto& x) { return x.is_name("if"); });
    auto size = static_cast<size_t>(at - head.begin());
    if (head.size() < 4 || !is_name(head[1]) || !head[2].is_name("in")
        || otherwise != end) {
      failed_ = true;
      return end + 1;
    }
    auto list = evaluate(head.subspan(3, size - 3));
    auto condition = head.subspan(std::min(size + 1, head.size()));
    failed_ |= list.what != value::kind::list;
    bool first = true;
    for (auto& item : list.items) {
      if (failed_)
        break;
      scopes_.emplace_back();
      set(head[1].value, item);
      if (condition.empty() || evaluate(condition).holds()) {
        set("loop", value::of(std::map<std::string, value>{
                      {"first", value::of(first)}}));
        first = false;
        range(begin + 1, end);
      }
      scopes_.pop_back();
    }
    return end + 1;
  }

  size_t macro(size_t begin) {
    auto& head = all_[begin].tokens;
    if (head.size() < 2)
      failed_ = true;
    else
      macros_[head[1].value] = begin;
    return end_of(begin) + 1;
  }

  /// set A = x; set A, B = x, y; set A.B = x
  void assign(tokens x) {
    auto equals = std::find_if(x.begin(), x.end(),
                               [](auto& t) { return t.is_symbol("="); });
    auto size = static_cast<size_t>(equals - x.begin());
    auto worth = x.subspan(std::min(size + 1, x.size()));
    for (size_t i = 1; i < size && !failed_; ++i) {
      template_expression expression{worth, *this};
      auto given = expression.evaluate();
      failed_ |= expression.failed();
      if (failed_)
        return;
      worth = worth.subspan(expression.position());
      bool is_field = i + 2 < size && x[i + 1].is_symbol(".");
      auto owner = is_field ? lookup(x[i].value) : value{};
      failed_ |= is_field && !owner.fields;
      if (failed_)
        return;
      if (is_field)
        (*owner.fields)[x[i + 2].value] = std::move(given);
      else
        set(x[i].value, std::move(given));
      i += is_field ? 3 : 1;
      bool goes_on = i < size && !worth.empty() && worth[0].is_symbol(",");
      if (goes_on)
        worth = worth.subspan(1);
      failed_ |= goes_on != (i < size);
    }
    failed_ |= !worth.empty();
  }

  tags all_;
  std::vector<std::map<std::string, value>> scopes_;
  std::map<std::string, size_t> macros_; // where they begin
  std::string out_;
  int steps_ = 0;
  bool failed_ = false;
};

value value_of(const std::vector<chat_message>& messages) {
  value out;
  out.what = value::kind::list;
  for (auto& x : messages) {
    auto role = role_names[static_cast<size_t>(x.role)];
    out.items.push_back(value::of(
      std::map<std::string, value>{{"role", value::of(std::string{role})},
                                   {"content", value::of(x.content)}}));
  }
  return out;
}

} // namespace

std::vector<template_case>
template_cases(const std::vector<std::string>& switches) {
  auto system = [](std::string x) {
    return chat_message{chat_role::system, std::move(x), {}};
  };
  auto user = [](std::string x) {
    return chat_message{chat_role::user, std::move(x), {}};
  };
  auto answer = [](std::string x) {
    return chat_message{chat_role::assistant, std::move(x), {}};
  };
  const std::vector<std::vector<chat_message>> chats = {
    {user("Hi")},
    {user(" Aa \n"), answer("\n Bb "), user("\tCc\n")},
    {system(" One \n"), user("Hi")},
    {system("One."), system("Two."), user("Hi"), answer("Yes."), user("So?")},
    {user("a"), answer("<think>b</think>c</think> d"), user("e"), answer("f"),
     user("g"), answer("h"), user("i")},
    {user("a"), user("b"), answer("c"), answer("d")},
    {answer("a"), user("b"), system("late"), user("c")},
  };
  std::vector<std::map<std::string, bool>> settings = {{}};
  for (auto& name : switches)
    for (bool on : {true, false})
      settings.push_back({{name, on}});
  std::vector<template_case> out;
  for (auto& chat : chats)
    for (auto& setting : settings)
      for (bool generates : {true, false})
        out.push_back({chat, generates, setting});
  return out;
}

std::optional<std::string>
follow_template(std::span<const template_tag> tags, const template_case& x,
                const std::string& bos, const std::string& eos) {
  template_walk walk{tags};
  walk.set("messages", value_of(x.messages));
  walk.set("add_generation_prompt", value::of(x.add_generation_prompt));
  walk.set("bos_token", value::of(bos));
  walk.set("eos_token", value::of(eos));
  for (auto& [name, on] : x.switches)
    walk.set(name, value::of(on));
  return walk.run();
}

} // namespace troupe
