#include "runtime/text/added_tokens.hpp"

#include <algorithm>

namespace troupe {

namespace {

size_t first_byte(std::string_view text) {
  return static_cast<unsigned char>(text.front());
}

} // namespace

void added_tokens::finder::add(const added_token& token) {
  contents_.push_back(std::make_unique<std::string>(token.content));
  ids_.emplace(*contents_.back(), token.id);
  auto& lengths = lengths_[first_byte(token.content)];
  auto place = std::lower_bound(lengths.begin(), lengths.end(),
                                token.content.size(), std::greater{});
  if (place == lengths.end() || *place != token.content.size())
    lengths.insert(place, token.content.size());
}

token_or_text
added_tokens::finder::longest_at_front(std::string_view text) const {
  for (auto length : lengths_[first_byte(text)])
    if (length <= text.size())
      if (auto it = ids_.find(text.substr(0, length)); it != ids_.end())
        return {it->first, it->second};
  return {};
}

void added_tokens::finder::split(std::string_view text,
                                 std::vector<token_or_text>& parts) const {
  size_t done = 0;
  auto add_text = [&](size_t end) {
    if (done < end)
      parts.push_back({text.substr(done, end - done)});
  };
  for (size_t at = 0; at < text.size();) {
    auto found = longest_at_front(text.substr(at));
    if (found.id < 0) {
      ++at;
      continue;
    }
    add_text(at);
    at += found.text.size();
    done = at;
    parts.push_back(found);
  }
  add_text(text.size());
}

added_tokens::added_tokens(const std::vector<added_token>& tokens) {
  for (auto& token : tokens)
    (token.normalized ? second_ : first_).add(token);
}

std::vector<token_or_text> added_tokens::split(std::string_view text) const {
  std::vector<token_or_text> outer;
  std::vector<token_or_text> parts;
  first_.split(text, outer);
  for (auto& part : outer)
    if (part.id < 0)
      second_.split(part.text, parts);
    else
      parts.push_back(part);
  return parts;
}

} // namespace troupe
