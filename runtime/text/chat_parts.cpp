#include "runtime/text/chat_parts.hpp"

namespace troupe {

void chat_parts::flush() {
  auto ids = tokens_->encode(plain_, specials::plain);
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  plain_.clear();
}

void chat_parts::token(std::string_view content) {
  flush();
  whole_ += content;
  if (auto id = tokens_->id_of(content))
    ids_.push_back(*id);
  else if (missing_.empty())
    missing_ = content;
}

void chat_parts::text(std::string_view content) {
  plain_ += content;
  whole_ += content;
}

std::vector<int32_t> chat_parts::ids() {
  flush();
  return ids_;
}

} // namespace troupe
