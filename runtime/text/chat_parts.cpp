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

void chat_parts::begin_segment(segment_author author) {
  next_ = author;
}

void chat_parts::set_author(segment_author author) {
  if (next_)
    next_ = author;
  else if (!segments_.empty())
    segments_.back().author = author;
}

void chat_parts::cut() {
  if (next_ && plain_.empty())
    segments_.push_back({*next_, ids_.size()});
  else if (next_ == segment_author::given && !segments_.empty())
    segments_.back().author = segment_author::given;
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

std::vector<prompt_segment> chat_parts::segments() const {
  std::vector<prompt_segment> out;
  for (size_t i = 0; i < segments_.size(); ++i) {
    auto& x = segments_[i];
    auto end = i + 1 < segments_.size() ? segments_[i + 1].begin : ids_.size();
    if (x.begin < end)
      out.push_back({static_cast<uint32_t>(end - x.begin), x.author});
  }
  return out;
}

} // namespace troupe
