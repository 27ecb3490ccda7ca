#include "runtime/text/reasoning_splitter.hpp"

#include "runtime/text/partial_mark.hpp"

#include <utility>

namespace troupe {

namespace {

constexpr std::string_view begin_of_thought = "<think>";
constexpr std::string_view end_of_thought = "</think>";
constexpr std::string_view white_space = " \t\r\n";

} // namespace

bool is_thought_mark(std::string_view token) {
  return token == begin_of_thought || token == end_of_thought;
}

bool has_thought_marks(const tokenizer& tokens) {
  return tokens.id_of(begin_of_thought) && tokens.id_of(end_of_thought);
}

void reasoning_splitter::begin() {
  auto at = held_.find_first_not_of(white_space);
  if (at == held_.npos)
    return;
  auto rest = std::string_view{held_}.substr(at);
  auto is = [&](std::string_view mark) {
    return rest.starts_with(mark)
           && (is_mark_ || marks_ == thought_marks::text);
  };
  auto may_become = [&](std::string_view mark) {
    return marks_ == thought_marks::text && mark.starts_with(rest);
  };
  if (is(begin_of_thought)) {
    held_.erase(0, at + begin_of_thought.size());
    state_ = state::thought;
    may_think_ = false;
  } else if (is(end_of_thought)) {
    held_.erase(0, at + end_of_thought.size());
    state_ = state::gap;
    may_think_ = false;
  } else if (!may_become(begin_of_thought) && !may_become(end_of_thought)) {
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
  if (may_think_ && marks_ == thought_marks::text)
    speak_lines(piece);
  else if (may_think_ && is_mark_)
    meet_mark(piece);
  if (state_ == state::speech
      && (!may_think_ || marks_ == thought_marks::token))
    piece.content += std::exchange(held_, {});
}

/// What is held ends with a token that is one.
void reasoning_splitter::meet_mark(answer_piece& piece) {
  may_think_ = false;
  if (!held_.ends_with(end_of_thought))
    return;
  held_.resize(held_.size() - end_of_thought.size());
  piece.content += std::exchange(held_, {});
  state_ = state::gap;
}

void reasoning_splitter::speak_lines(answer_piece& piece) {
  while (may_think_ && !held_.empty()) {
    auto end = held_.find('\n');
    auto is_whole = end != held_.npos;
    auto line = std::string_view{held_}.substr(0, end);
    if (!in_line_ && !is_whole
        && (end_of_thought.starts_with(line)
            || begin_of_thought.starts_with(line)))
      return; // it may become one
    if (!in_line_ && is_thought_mark(line)) {
      may_think_ = false;
      if (line == begin_of_thought)
        return;
      held_.erase(0, end);
      state_ = state::gap;
      return skip_gap();
    }
    auto size = is_whole ? end + 1 : held_.size();
    piece.content += held_.substr(0, size);
    held_.erase(0, size);
    in_line_ = !is_whole;
  }
}

answer_piece reasoning_splitter::push(std::string_view text, bool is_mark) {
  answer_piece piece;
  held_ += text;
  is_mark_ = is_mark;
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
  // The last line may have been one.
  if (state_ == state::speech && may_think_ && held_ == end_of_thought)
    held_.clear();
  auto& rest = state_ == state::thought ? piece.reasoning : piece.content;
  rest = std::exchange(held_, {});
  return piece;
}

} // namespace troupe
