#include "runtime/bench/prompt_writer.hpp"

#include "runtime/bench/chance.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::bench {

namespace {

/// Short and common: one token each in most vocabularies.
constexpr const char* words[] = {
  "the",   "of",   "and",  "to",  "in",   "is",   "you", "that", "it",   "he",
  "was",   "for",  "on",   "are", "as",   "with", "his", "they", "at",   "be",
  "this",  "have", "from", "or",  "one",  "had",  "by",  "word", "but",  "not",
  "what",  "all",  "were", "we",  "when", "your", "can", "said", "use",  "each",
  "which", "she",  "do",   "how", "if",   "will", "up",  "out",  "many", "then",
  "them",  "so",   "some", "her", "make", "like", "him", "into", "time", "has",
  "look",  "two",  "more", "go"};

static_assert(std::size(words) == prompt_writer::num_words);

/// Numbers of what all prompts share, and of the own part of the first.
constexpr uint32_t shared_part = 16, own_part = 17;

} // namespace

word_measure word_measure::from(uint32_t words_a, uint32_t tokens_a,
                                uint32_t words_b, uint32_t tokens_b) {
  word_measure out;
  out.per_word = (double(tokens_b) - tokens_a) / (double(words_b) - words_a);
  if (!(out.per_word > 0))
    return {};
  out.base = tokens_a - out.per_word * words_a;
  return out;
}

uint32_t word_measure::words_for(uint32_t tokens) const {
  return uint32_t(std::max(std::round((tokens - base) / per_word), 1.0));
}

prompt_writer prompt_writer::of_each_word() {
  prompt_writer out{0, 0, {}};
  out.each_word_ = true;
  return out;
}

std::string prompt_writer::text(uint32_t number, uint32_t tokens) const {
  chance shared{seed_, shared_part}, own{seed_, own_part + number};
  auto all = measure_.words_for(tokens);
  auto common = uint32_t(std::round(shared_ / measure_.per_word));
  std::string out;
  for (uint32_t i = 0; i < all; ++i) {
    auto& from = i < common ? shared : own;
    out += i == 0 ? "" : " ";
    out += words[each_word_ ? i % num_words : from.whole(0, num_words - 1)];
  }
  return out;
}

std::vector<uint32_t> prompt_writer::ids(uint32_t number, uint32_t tokens,
                                         uint32_t vocab_size) const {
  chance shared{seed_, shared_part}, own{seed_, own_part + number};
  std::vector<uint32_t> out;
  for (uint32_t i = 0; i < tokens; ++i) {
    auto& from = i < shared_ ? shared : own;
    out.push_back(
      uint32_t(from.whole(vocab_size / 4, uint64_t{vocab_size} * 3 / 4 - 1)));
  }
  return out;
}

} // namespace troupe::bench
