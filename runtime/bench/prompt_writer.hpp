#pragma once

/// Prompts that mean nothing, of a length in tokens: as ids, where the
/// vocabulary is known, or else as words, of which two questions have told how
/// many tokens they are.

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::bench {

/// Tokens of a text of `n` words: base + per_word * n.
struct word_measure {
  double base = 0;
  double per_word = 1;

  /// From two texts and their tokens. words_a != words_b.
  static word_measure from(uint32_t words_a, uint32_t tokens_a,
                           uint32_t words_b, uint32_t tokens_b);

  /// At least 1.
  uint32_t words_for(uint32_t tokens) const;
};

class prompt_writer {
public:
  /// The first `shared` tokens of all prompts are the same.
  prompt_writer(uint64_t seed, uint32_t shared, word_measure measure)
    : seed_(seed), shared_(shared), measure_(measure) {
  }

  /// Writes texts to measure words with: each as often as any other, where
  /// there is a multiple of `num_words`.
  static prompt_writer of_each_word();

  static constexpr uint32_t num_words = 64; ///< That there are.

  /// Of the request `number`: words.
  std::string text(uint32_t number, uint32_t tokens) const;

  /// The same as ids, of the middle half of a vocabulary: special tokens
  /// stand at its ends. vocab_size >= 4.
  std::vector<uint32_t> ids(uint32_t number, uint32_t tokens,
                            uint32_t vocab_size) const;

private:
  const uint64_t seed_;
  const uint32_t shared_;
  const word_measure measure_;
  bool each_word_ = false; ///< In turn.
};

} // namespace troupe::bench
