#include "runtime/http/answer_text.hpp"

namespace troupe::http {

answer_text::answer_text(const tokenizer& tokens,
                         std::optional<reasoning_splitter> splitter,
                         stop_strings stops, const completion_options& options)
  : characters_(tokens, options.skip_special), splitter_(std::move(splitter)),
    stops_(std::move(stops)), min_tokens_(options.min_tokens) {
}

void answer_text::push(int32_t id, answer_piece& to) {
  if (stopped())
    return;
  ++num_pushed_;
  auto text = characters_.push(id);
  if (splitter_)
    append(splitter_->push(text), to);
  else
    append({"", std::move(text)}, to);
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
  if (!stopped())
    to.content += stops_.finish();
}

void answer_text::append(answer_piece piece, answer_piece& to) {
  thought_ = thought_ || !piece.reasoning.empty();
  spoke_ = spoke_ || !piece.content.empty();
  to.reasoning += piece.reasoning;
  to.content += num_pushed_ > min_tokens_ ? stops_.push(piece.content)
                                          : std::move(piece.content);
}

} // namespace troupe::http
