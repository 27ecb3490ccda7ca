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

/// Where an answer is in its grammar.
struct grammar_place {
  grammar_state state;
  bool is_too_much = false; ///< To get there: no way leads on.
  friend bool operator==(const grammar_place&, const grammar_place&) = default;
};

/// Whether a token follows a place. too_much: to say so.
enum class grammar_outlook : uint8_t { nothing, tokens, too_much };

/// Not thread-safe. What it says does not depend on what it was asked before,
/// nor does what is too much.
class vocabulary_walk {
public:
  /// `max_bytes`: of the states that are kept; then it begins anew. `max_work`:
  /// of one question, see grammar_matcher::work.
  vocabulary_walk(std::shared_ptr<const grammar_program> program,
                  std::shared_ptr<const vocabulary> words, size_t max_bytes,
                  size_t max_work);

  grammar_place begin();

  /// Behind one token more. A token that is not allowed leads nowhere.
  grammar_place after(const grammar_place& x, int32_t token);

  /// A state that the same tokens may follow as `x`.
  grammar_state alike(const grammar_state& x);

  struct choice {
    id_bits bits;
    bool is_too_much = false; ///< Then there are none.
  };

  /// All tokens that may follow.
  choice allowed(const grammar_state& x);

  /// Much cheaper than these.
  grammar_outlook outlook(const grammar_place& x);

  /// Of the last question.
  uint64_t work() const {
    return matcher_.work();
  }

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
  };

  number begin_at(const grammar_state& x, uint64_t max_work);
  void end();
  reach walk(number from, id_bits* to);
  void walk_marks(number from, reach& out);
  void allow(uint32_t first, uint32_t end, reach& out) const;
  uint16_t groups_kept(number x);

  const std::shared_ptr<const vocabulary> words_;
  const size_t max_bytes_;
  const size_t max_work_;
  grammar_matcher matcher_;

  struct kept_groups {
    uint32_t walk = 0;
    uint16_t bits = 0;
  };

  uint32_t walk_ = 0;
  std::vector<kept_groups> kept_groups_; ///< By state; of one walk.
  std::atomic<size_t> num_bytes_{0};
};

} // namespace troupe
