#pragma once

/// Grammars and the texts that are of them.

#include "runtime/grammar/compile_grammar.hpp"
#include "runtime/grammar/grammar_masks.hpp"
#include "tests/places.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace troupe {

inline std::shared_ptr<const grammar_program>
compiled(const grammar_source& source) {
  auto out = compile_grammar(source);
  EXPECT_TRUE(out) << source.text << ": " << out.why().message;
  return out ? *out : nullptr;
}

/// Byte by byte; marks stand in the text as they are.
inline bool accepts(const grammar_source& source, std::string_view text) {
  grammar_matcher all{compiled(source)};
  auto at = all.begin();
  for (auto c : text)
    at = all.after(at, static_cast<uint8_t>(c));
  return all.may_end(at);
}

inline std::string why_not(const grammar_source& source) {
  auto out = compile_grammar(source);
  return out ? "" : out.why().message;
}

/// For each of 123 bytes, which come before all that lead on, it takes 300 ways
/// to see that it leads nowhere; also within many braces.
inline grammar_source costly_grammar() {
  std::string out = "root ::= \"{\" root \"}\" | \"~\"";
  for (int byte = 0; byte < '{'; ++byte) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += std::string{" | \"\\x"} + digits[size_t(byte) / 16]
           + digits[size_t(byte) % 16] + "\" many";
  }
  out += "\nmany ::= \"0\"";
  for (int i = 1; i < 300; ++i)
    out += " | \"" + std::to_string(i) + "\"";
  return {grammar_kind::gbnf, out + "\n"};
}

inline grammar_waker waker(std::function<void()> call) {
  return std::make_shared<const std::function<void()>>(std::move(call));
}

/// Of the nano model.
inline const tokenizer& some_tokenizer() {
  static auto loaded
    = tokenizer::load(source_dir() / "examples/nano/model/tokenizer.json");
  return *loaded;
}

inline std::shared_ptr<const vocabulary> some_vocabulary() {
  static const auto out = std::make_shared<const vocabulary>(
    some_tokenizer(), some_tokenizer().vocab_size());
  return out;
}

inline bool is_allowed(const grammar_masks::mask& x, int32_t id) {
  return (*x.allowed)[size_t(id) / 64] >> (id % 64) & 1;
}

/// Ids drawn from what is allowed, until it may end and chance says so, or
/// `most` have come. Long tokens more often than short ones.
inline std::vector<int32_t> random_answer(grammar_masks& of, uint64_t seed,
                                          size_t most) {
  std::mt19937_64 rng{seed};
  auto words = some_vocabulary();
  auto at = of.begin();
  std::vector<int32_t> out;
  while (out.size() < most) {
    auto mask = of.mask_of(at);
    if (!mask.any || (grammar_masks::may_end(at) && rng() % 8 == 0))
      break;
    std::vector<int32_t> ids;
    for (int32_t id = 0; uint32_t(id) < words->num_choices(); ++id)
      if (is_allowed(mask, id))
        ids.push_back(id);
    auto longest = ids[rng() % ids.size()];
    auto other = ids[rng() % ids.size()];
    if (words->text_of(other).size() > words->text_of(longest).size())
      longest = other;
    out.push_back(longest);
    at = of.after(at, longest);
  }
  return out;
}

} // namespace troupe
