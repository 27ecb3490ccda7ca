#include "runtime/text/stop_strings.hpp"

#include "runtime/text/utf8.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

stop_strings::automaton stop_strings::automaton_of(std::string text) {
  automaton x;
  x.fallback.assign(text.size() + 1, 0);
  x.text = std::move(text);
  for (size_t i = 1; i < x.text.size(); ++i) {
    size_t length = x.fallback[i];
    while (length > 0 && x.text[i] != x.text[length])
      length = x.fallback[length];
    x.fallback[i + 1]
      = static_cast<uint16_t>(x.text[i] == x.text[length] ? length + 1 : 0);
  }
  return x;
}

result<stop_strings> stop_strings::make(std::vector<std::string> strings,
                                        bool include) {
  if (strings.size() > max_strings)
    return failure{errc::invalid_input, "there are more than 16 stop strings"};
  stop_strings x;
  x.include_ = include;
  for (auto& text : strings) {
    if (text.empty() || text.size() > max_bytes || !is_utf8(text))
      return failure{errc::invalid_input,
                     "a stop string is empty, longer than 256 bytes or not "
                     "UTF-8"};
    x.automata_.push_back(automaton_of(std::move(text)));
  }
  return x;
}

void stop_strings::step(automaton& x, char c) {
  while (x.state > 0 && x.text[x.state] != c)
    x.state = x.fallback[x.state];
  if (x.text[x.state] == c)
    ++x.state;
}

/// Feeds every automaton. Returns the most bytes that any of them has seen of
/// its string, or of the longest complete one, noted in `stopped_by_`.
size_t stop_strings::advance(char c) {
  size_t partial = 0;
  size_t complete = 0;
  for (size_t i = 0; i < automata_.size(); ++i) {
    auto& x = automata_[i];
    step(x, c);
    partial = std::max(partial, x.state);
    if (x.state == x.text.size() && x.state > complete) {
      complete = x.state;
      stopped_by_ = i;
    }
  }
  return stopped_by_ ? complete : partial;
}

std::string stop_strings::push(std::string_view text) {
  if (stopped_by_)
    return {};
  size_t keep = held_.size();
  for (size_t i = 0; i < text.size() && !stopped_by_; ++i) {
    held_ += text[i];
    keep = advance(text[i]);
  }
  if (stopped_by_ && include_)
    keep = 0;
  auto certain = held_.substr(0, held_.size() - keep);
  held_.erase(0, stopped_by_ ? held_.size() : certain.size());
  return certain;
}

std::string stop_strings::finish() {
  return std::exchange(held_, {});
}

} // namespace troupe
