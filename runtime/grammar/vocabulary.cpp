#include "runtime/grammar/vocabulary.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Longer tokens are never chosen under a grammar.
constexpr size_t max_token = 255;

} // namespace

vocabulary::vocabulary(const tokenizer& tokens, uint32_t num_choices)
  : num_choices_(std::min(num_choices, tokens.vocab_size())),
    texts_(num_choices_) {
  for (int32_t id = 0; static_cast<uint32_t>(id) < num_choices_; ++id) {
    auto text = tokens.bytes_of(id);
    if (text.empty() || text.size() > max_token)
      continue;
    texts_[size_t(id)] = text;
    if (tokens.is_added(id)) {
      marks_.emplace_back(text, id);
      continue;
    }
    tokens_.push_back(id);
    max_bytes_ = std::max(max_bytes_, static_cast<uint32_t>(text.size()));
  }
  std::ranges::sort(tokens_, [&](int32_t a, int32_t b) {
    auto order = texts_[size_t(a)].compare(texts_[size_t(b)]);
    return order != 0 ? order < 0 : a < b;
  });
  add_nodes();
}

void vocabulary::add_nodes() {
  std::vector<uint32_t> path; // of the last token
  auto leave = [&](size_t depth) {
    while (path.size() > depth) {
      auto i = path.back();
      path.pop_back();
      nodes_[i].end = static_cast<uint32_t>(nodes_.size());
      if (!path.empty())
        nodes_[path.back()].groups |= static_cast<uint16_t>(
          nodes_[i].groups | 1u << group_of(nodes_[i].byte));
    }
  };
  std::string_view last;
  for (uint32_t place = 0; place < tokens_.size(); ++place) {
    std::string_view text = texts_[size_t(tokens_[place])];
    auto same = std::ranges::mismatch(last, text).in2 - text.begin();
    leave(static_cast<size_t>(same));
    for (auto depth = path.size(); depth < text.size(); ++depth) {
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back({.first_token = place,
                        .byte = static_cast<uint8_t>(text[depth]),
                        .depth = static_cast<uint8_t>(depth)});
    }
    last = text;
  }
  leave(0);
}

std::string_view vocabulary::text_of(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= texts_.size())
    return {};
  return texts_[static_cast<size_t>(id)];
}

bool vocabulary::is_mark(int32_t id) const {
  auto has_id = [=](auto& x) { return x.second == id; };
  return std::ranges::any_of(marks_, has_id);
}

uint8_t vocabulary::group_of(uint8_t byte) {
  constexpr std::string_view own_groups = " \"\\"; // 0, 1, 2
  constexpr std::string_view brackets = "{}[],:";
  if (auto i = own_groups.find(static_cast<char>(byte)); i != std::string::npos)
    return static_cast<uint8_t>(i);
  if (byte < 0x20)
    return byte == '\n' || byte == '\t' || byte == '\r' ? 3 : 4;
  if (byte >= '0' && byte <= '9')
    return 5;
  if (byte >= 'a' && byte <= 'z')
    return 6;
  if (byte >= 'A' && byte <= 'Z')
    return 7;
  if (brackets.find(static_cast<char>(byte)) != std::string::npos)
    return 8;
  if (byte < 0x80)
    return byte == '<' ? 10 : 9; // a mark begins with it
  return static_cast<uint8_t>(11 + (byte >= 0xc0) + (byte >= 0xe0)
                              + (byte >= 0xf0));
}

} // namespace troupe
