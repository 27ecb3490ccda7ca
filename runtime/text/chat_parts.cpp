#include "runtime/text/chat_parts.hpp"

#include "runtime/text/chat_atoms.hpp"

namespace troupe {

void chat_parts::flush() {
  if (tokens_) {
    auto ids = tokens_->encode(plain_, specials::plain);
    ids_.insert(ids_.end(), ids.begin(), ids.end());
  }
  plain_.clear();
}

void chat_parts::begin_segment(chat_author author) {
  next_ = author;
}

void chat_parts::set_author(chat_author author) {
  if (next_)
    next_ = author;
  else if (!segments_.empty())
    segments_.back().author = author;
}

void chat_parts::cut() {
  if (next_ && plain_.empty())
    segments_.push_back({*next_, ids_.size(), 0});
  else if (next_ == chat_author::given && !segments_.empty())
    segments_.back().author = chat_author::given;
  next_.reset();
}

void chat_parts::token(std::string_view content) {
  flush();
  cut();
  whole_ += content;
  if (!tokens_)
    return;
  if (auto id = tokens_->id_of(content))
    ids_.push_back(*id);
  else if (missing_.empty())
    missing_ = content;
}

void chat_parts::text(std::string_view content) {
  if (content.empty())
    return;
  cut();
  plain_ += content;
  whole_ += content;
}

void chat_parts::form(std::string_view content) {
  for (auto& atom : atoms_of(content))
    if (is_form_token(atom))
      token(atom);
    else
      text(atom);
}

std::vector<int32_t> chat_parts::ids() {
  flush();
  return ids_;
}

std::vector<chat_segment> chat_parts::segments() const {
  std::vector<chat_segment> out;
  for (size_t i = 0; i < segments_.size(); ++i) {
    auto x = segments_[i];
    x.end = i + 1 < segments_.size() ? segments_[i + 1].begin : ids_.size();
    if (x.begin < x.end)
      out.push_back(x);
  }
  return out;
}

} // namespace troupe
