#include "runtime/text/chat_atoms.hpp"

#include <algorithm>

namespace troupe {

namespace {

struct brackets {
  std::string_view begin, end;
};

// The bars of the second are U+FF5C.
constexpr brackets bars[] = {{"<|", "|>"}, {"<｜", "｜>"}};
constexpr std::string_view words[] = {"<think>", "</think>"};

struct named_atom {
  std::string_view name, atom;
};

constexpr named_atom named[] = {{"{}", value_atom},
                                {"{bos}", bos_atom},
                                {"{eos}", eos_atom},
                                {"{text}", any_text_atom}};

bool is_symbol(std::string_view atom) {
  return atom.size() == 1 && atom.front() > '\0' && atom.front() < '\x05';
}

/// The length of the token that `text` begins with, or 0.
size_t token_at(std::string_view text) {
  for (auto word : words)
    if (text.starts_with(word))
      return word.size();
  for (auto& [begin, end] : bars) {
    if (!text.starts_with(begin))
      continue;
    auto last = text.find(end, begin.size());
    auto inner = text.substr(begin.size(), last - begin.size());
    if (last != text.npos && inner.find_first_of("<>\n ") == inner.npos)
      return last + end.size();
  }
  return 0;
}

} // namespace

bool is_form_token(std::string_view atom) {
  return !atom.empty() && token_at(atom) == atom.size();
}

chat_atoms atoms_of(std::string_view text) {
  chat_atoms out;
  size_t begin = 0; // of text that is no token
  for (size_t i = 0; i < text.size();) {
    auto size = text[i] == '<' ? token_at(text.substr(i)) : 0;
    if (size == 0) {
      ++i;
      continue;
    }
    if (begin < i)
      out.emplace_back(text.substr(begin, i - begin));
    out.emplace_back(text.substr(i, size));
    begin = i += size;
  }
  if (begin < text.size())
    out.emplace_back(text.substr(begin));
  return out;
}

void append(chat_atoms& atoms, const chat_atoms& more) {
  auto is_text = [](const chat_atom& x) {
    return !is_symbol(x) && !is_form_token(x);
  };
  for (auto& x : more)
    if (!atoms.empty() && is_text(atoms.back()) && is_text(x))
      atoms.back() += x;
    else
      atoms.push_back(x);
}

chat_atoms pattern_of(std::string_view pattern) {
  chat_atoms out;
  while (!pattern.empty()) {
    size_t at = pattern.size();
    named_atom next;
    for (auto& x : named)
      if (auto i = pattern.find(x.name); i < at) {
        at = i;
        next = x;
      }
    append(out, atoms_of(pattern.substr(0, at)));
    if (!next.atom.empty())
      out.emplace_back(next.atom);
    pattern.remove_prefix(std::min(at + next.name.size(), pattern.size()));
  }
  return out;
}

} // namespace troupe
