#include "runtime/text/reasoning_splitter.hpp"

#include "runtime/text/partial_mark.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

constexpr std::string_view begin_of_thought = "<think>";
constexpr std::string_view end_of_thought = "</think>";

} // namespace

void reasoning_splitter::begin() {
  if (held_.starts_with(begin_of_thought)) {
    held_.erase(0, begin_of_thought.size());
    state_ = state::thought;
    may_think_ = false;
  } else if (held_.starts_with(end_of_thought)) {
    may_think_ = false;
    held_.erase(0, end_of_thought.size());
    state_ = state::gap;
  } else if (!begin_of_thought.starts_with(held_)
             && !end_of_thought.starts_with(held_)) {
    state_ = state::speech;
  }
}

void reasoning_splitter::think(answer_piece& piece) {
  auto end = held_.find(end_of_thought);
  if (end == held_.npos) {
    auto certain = held_.size() - beginning_at_end(held_, end_of_thought);
    piece.reasoning = held_.substr(0, certain);
    held_.erase(0, certain);
    return;
  }
  piece.reasoning = held_.substr(0, end);
  held_.erase(0, end + end_of_thought.size());
  state_ = state::gap;
}

void reasoning_splitter::skip_gap() {
  held_.erase(0, held_.find_first_not_of('\n'));
  if (!held_.empty())
    state_ = state::speech;
}

/// Says what is certain. The first mark decides whether one is missing.
void reasoning_splitter::speak(answer_piece& piece) {
  while (may_think_) {
    auto end = held_.find(end_of_thought);
    auto begin = held_.find(begin_of_thought);
    if (begin == held_.npos && end == held_.npos) {
      auto kept = std::max(beginning_at_end(held_, end_of_thought),
                           beginning_at_end(held_, begin_of_thought));
      piece.content += held_.substr(0, held_.size() - kept);
      held_.erase(0, held_.size() - kept);
      return;
    }
    may_think_ = false;
    if (begin < end)
      break;
    piece.content += held_.substr(0, end);
    held_.erase(0, end + end_of_thought.size());
    state_ = state::gap;
    skip_gap();
  }
  if (state_ == state::speech)
    piece.content += std::exchange(held_, {});
}

answer_piece reasoning_splitter::push(std::string_view text) {
  answer_piece piece;
  held_ += text;
  if (state_ == state::beginning)
    begin();
  if (state_ == state::thought)
    think(piece);
  if (state_ == state::gap)
    skip_gap();
  if (state_ == state::speech)
    speak(piece);
  return piece;
}

answer_piece reasoning_splitter::finish() {
  answer_piece piece;
  auto& rest = state_ == state::thought ? piece.reasoning : piece.content;
  rest = std::exchange(held_, {});
  return piece;
}

} // namespace troupe
