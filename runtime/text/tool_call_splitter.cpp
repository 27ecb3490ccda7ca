#include "runtime/text/tool_call_splitter.hpp"

#include "runtime/text/partial_mark.hpp"
#include "runtime/text/tool_marks.hpp"

#include <utility>

namespace troupe {

namespace {

constexpr std::string_view space = " \t\r\n";
constexpr std::string_view fence_characters = " \t\r\n`";

std::string_view trimmed(std::string_view text, std::string_view of) {
  auto end = text.find_last_not_of(of);
  return end == text.npos ? std::string_view{} : text.substr(0, end + 1);
}

/// Without the fence behind it, if there is one.
std::string_view without_fence(std::string_view text) {
  auto out = trimmed(text, space);
  return out.ends_with("```") ? trimmed(out.substr(0, out.size() - 3), space)
                              : out;
}

/// Arguments, of which `text` is the end of what came: without what was begun
/// of what stands behind them. A lone "<" and signs of a fence within a line
/// are rather theirs.
std::string_view without_begun_end(std::string_view text, tool_style style) {
  auto mark = beginning_at_end(text, tool_call_end);
  auto before = text.substr(0, text.size() - mark);
  bool is_fenced = style == tool_style::fenced;
  if (mark > 1 || (is_fenced && before.ends_with("```")))
    text = before;
  if (!is_fenced)
    return text;
  text = without_fence(text);
  auto line = trimmed(text, "`");
  return line.ends_with('\n') ? trimmed(line, space) : text;
}

} // namespace

spoken_piece tool_call_splitter::push(std::string_view text) {
  spoken_piece out;
  held_ += text;
  while (step(out))
    ;
  return out;
}

spoken_piece tool_call_splitter::finish() {
  spoken_piece out;
  auto rest = std::exchange(held_, {});
  if (state_ == state::speech)
    out.text = std::move(rest);
  else if (state_ == state::arguments)
    add_arguments(std::string{without_begun_end(rest, style_)}, out);
  return out;
}

bool tool_call_splitter::step(spoken_piece& to) {
  switch (state_) {
    case state::speech:
      return speak(to);
    case state::calls:
      return pass(tool_call_begin,
                  style_ == tool_style::fenced ? state::head : state::name);
    case state::head: // the type, which is always a function's
      return pass(tool_call_sep, state::name);
    case state::name:
      return style_ == tool_style::fenced
               ? read_name("\n", state::fence, to)
               : read_name(tool_call_sep, state::arguments, to);
    case state::fence:
      return pass("\n", state::arguments);
    case state::arguments:
      return read_arguments(to);
  }
  return false;
}

bool tool_call_splitter::speak(spoken_piece& to) {
  auto end = held_.find(tool_calls_begin);
  auto found = end != held_.npos;
  if (!found)
    end = held_.size() - beginning_at_end(held_, tool_calls_begin);
  to.text += held_.substr(0, end);
  held_.erase(0, end + (found ? tool_calls_begin.size() : 0));
  if (found)
    state_ = state::calls;
  return found;
}

/// Drops everything up to `mark`, and it.
bool tool_call_splitter::pass(std::string_view mark, state next) {
  auto end = held_.find(mark);
  if (end == held_.npos) {
    held_.erase(0, held_.size() - beginning_at_end(held_, mark));
    return false;
  }
  held_.erase(0, end + mark.size());
  state_ = next;
  return true;
}

bool tool_call_splitter::read_name(std::string_view end, state next,
                                   spoken_piece& to) {
  auto at = held_.find(end);
  if (at == held_.npos)
    return false;
  auto name
    = std::string{trimmed(std::string_view{held_}.substr(0, at), space)};
  held_.erase(0, at + end.size());
  to.calls.push_back({num_calls_++, true, std::move(name)});
  state_ = next;
  return true;
}

bool tool_call_splitter::read_arguments(spoken_piece& to) {
  bool is_fenced = style_ == tool_style::fenced;
  auto end = held_.find(tool_call_end);
  if (end != held_.npos) {
    auto all = std::string_view{held_}.substr(0, end);
    add_arguments(std::string{is_fenced ? without_fence(all) : all}, to);
    held_.erase(0, end + tool_call_end.size());
    state_ = state::calls;
    ++num_whole_;
    return true;
  }
  auto certain = std::string_view{held_}.substr(
    0, held_.size() - beginning_at_end(held_, tool_call_end));
  if (is_fenced)
    certain = trimmed(certain, fence_characters);
  add_arguments(std::string{certain}, to);
  held_.erase(0, certain.size());
  return false;
}

void tool_call_splitter::add_arguments(std::string text, spoken_piece& to) {
  if (!text.empty())
    to.calls.push_back({num_calls_ - 1, false, {}, std::move(text)});
}

} // namespace troupe
