#pragma once

/// A grammar beside a vocabulary: what the text of a token makes of a state,
/// and which tokens may follow one.

#include "runtime/grammar/matcher.hpp"
#include "runtime/grammar/vocabulary.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace troupe {

/// Not thread-safe. What it says does not depend on what it was asked before.
class vocabulary_walk {
public:
  /// `max_bytes`: of the states that are kept; then it begins anew. `max_cost`:
  /// numbers in the states that are passed from one of them.
  vocabulary_walk(std::shared_ptr<const grammar_program> program,
                  std::shared_ptr<const vocabulary> words, size_t max_bytes,
                  size_t max_cost);

  grammar_state begin();

  /// Behind one token more. A token that is not allowed leads nowhere.
  grammar_state after(const grammar_state& x, int32_t token);

  /// A state that the same tokens may follow as `x`.
  grammar_state alike(const grammar_state& x);

  /// All tokens that may follow; none if that would cost too much.
  id_bits allowed(const grammar_state& x);

  /// Whether some may, costs aside: much cheaper.
  bool leads_on(const grammar_state& x);

  /// Of what is kept. Any thread.
  size_t num_bytes() const {
    return num_bytes_.load(std::memory_order_relaxed);
  }

private:
  using number = grammar_matcher::number;

  /// Of one walk.
  struct reach {
    id_bits* to = nullptr; ///< Null: it ends with the first token.
    bool any = false;
    bool too_much = false;
  };

  number number_of(const grammar_state& x);
  void tell_bytes();
  reach walk(number from, id_bits* to);
  void walk_marks(number from, reach& out);
  void allow(uint32_t first, uint32_t end, reach& out) const;
  uint16_t groups_kept(number x);

  const std::shared_ptr<const vocabulary> words_;
  const size_t max_bytes_;
  const size_t max_cost_;
  grammar_matcher matcher_;
  std::vector<int32_t> kept_groups_; ///< By state; -1: not known.
  std::atomic<size_t> num_bytes_{0};
};

} // namespace troupe
