#pragma once

/// Which tokens may follow in an answer that a grammar governs. What it says
/// follows from the grammar, the vocabulary and the answer's tokens alone; what
/// was found once is kept, within limits, for all answers.

#include "runtime/grammar/matcher.hpp"
#include "runtime/grammar/vocabulary.hpp"

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>

namespace troupe {

struct grammar_limits {
  size_t max_states = 1 << 14;      ///< Kept of a grammar; then it begins anew.
  size_t max_mask_bytes = 16 << 20; ///< Kept of a grammar.
  /// Numbers in the states that are passed for one mask: what it may cost.
  size_t max_walk = 1 << 17;
};

/// Thread-safe.
class grammar_masks {
public:
  /// Where an answer is in its grammar.
  using place = std::shared_ptr<const grammar_state>;

  struct mask {
    std::shared_ptr<const id_bits> allowed;
    bool any = false; ///< Some token is.
  };

  /// How often a mask was there already.
  struct counts {
    uint64_t asked = 0;
    uint64_t made = 0;
  };

  grammar_masks(std::shared_ptr<const grammar_program> program,
                std::shared_ptr<const vocabulary> words,
                const grammar_limits& limits = {});

  place begin();

  /// Behind one token more. A token that is not allowed leads nowhere.
  place after(const place& x, int32_t token);

  /// Of the tokens that may come next; whether one that ends the answer may is
  /// for `may_end` to say.
  mask mask_of(const place& x);

  static bool may_end(const place& x) {
    return !x->empty() && x->front() == 0;
  }

  counts counted() const;

private:
  using number = grammar_matcher::number;

  number number_of(const place& x);
  mask make_mask(number from);
  void walk(number from, id_bits& to);
  void walk_marks(number from, id_bits& to);
  void allow(uint32_t first, uint32_t end, id_bits& to) const;
  uint16_t groups_kept(number x);

  const std::shared_ptr<const vocabulary> words_;
  const grammar_limits limits_;
  mutable std::mutex mutex_; ///< For what follows.
  grammar_matcher matcher_;
  std::vector<int32_t> kept_groups_; ///< By state; -1: not known.
  std::map<grammar_state, std::list<std::pair<grammar_state, mask>>::iterator>
    masks_;
  std::list<std::pair<grammar_state, mask>> by_use_; ///< The last used first.
  counts counts_;
};

} // namespace troupe
