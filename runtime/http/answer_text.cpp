#include "runtime/http/answer_text.hpp"

namespace troupe::http {

answer_text::answer_text(const tokenizer& tokens,
                         std::optional<reasoning_splitter> splitter,
                         std::optional<tool_call_splitter> calls,
                         stop_strings stops, const completion_options& options)
  : tokens_(&tokens), characters_(tokens, options.skip_special),
    splitter_(std::move(splitter)), calls_(std::move(calls)),
    stops_(std::move(stops)), one_call_(options.one_call),
    tell_thought_(options.tell_thought), min_tokens_(options.min_tokens) {
}

void answer_text::push(int32_t id, answer_piece& to) {
  if (stopped())
    return;
  ++num_pushed_;
  auto text = characters_.push(id);
  if (splitter_)
    append(splitter_->push(text, is_thought_mark(tokens_->bytes_of(id))), to);
  else
    append({"", std::move(text)}, to);
  if (splitter_ && calls_ && calls_->has_begun())
    splitter_->settle(); // what a call is given is no thought
  if (!spoke_)
    ++num_thought_;
}

void answer_text::finish(answer_piece& to) {
  if (stopped())
    return;
  auto text = characters_.finish();
  if (splitter_) {
    append(splitter_->push(text), to);
    append(splitter_->finish(), to);
  } else {
    append({"", std::move(text)}, to);
  }
  if (calls_ && !stopped())
    add(calls_->finish(), to);
  if (!stopped())
    to.content += stops_.finish();
}

void answer_text::append(answer_piece piece, answer_piece& to) {
  thought_ = thought_ || !piece.reasoning.empty();
  spoke_ = spoke_ || !piece.content.empty();
  if (tell_thought_)
    to.reasoning += piece.reasoning;
  if (calls_)
    add(calls_->push(piece.content), to);
  else
    add({std::move(piece.content), {}}, to);
}

void answer_text::add(spoken_piece piece, answer_piece& to) {
  to.content += num_pushed_ > min_tokens_ ? stops_.push(piece.text)
                                          : std::move(piece.text);
  if (stops_.stopped_by())
    return;
  if (!piece.calls.empty()) // what was kept back stands before them
    to.content += stops_.finish();
  append_calls(to.calls, std::move(piece.calls));
}

void append_calls(std::vector<tool_call_piece>& all,
                  std::vector<tool_call_piece> more) {
  for (auto& x : more)
    if (!all.empty() && all.back().index == x.index)
      all.back().arguments += x.arguments;
    else
      all.push_back(std::move(x));
}

} // namespace troupe::http
