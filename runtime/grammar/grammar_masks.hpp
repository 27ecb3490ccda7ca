#pragma once

/// Which tokens may follow in an answer that a grammar governs. What it says
/// follows from the grammar, the vocabulary and the answer's tokens alone; what
/// was found once is kept, within limits, for all answers.
///
/// A mask that nobody has asked for before takes up to some milliseconds. So it
/// can be made beside, by another thread; who follows an answer meanwhile does
/// not wait for that.

#include "runtime/grammar/vocabulary_walk.hpp"

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

namespace troupe {

struct grammar_limits {
  size_t max_state_bytes = 4 << 20; ///< Of each of two tables; then anew.
  size_t max_mask_bytes = 8 << 20;  ///< Kept of a grammar.
  /// What a mask may cost (grammar_matcher::work): some ten of milliseconds.
  size_t max_mask_work = 1 << 22;
  /// The same of a token that is followed, and of whether any comes next: some
  /// milliseconds, as a step may wait for it.
  size_t max_step_work = 1 << 18;
};

/// Has a job done by another thread; false: nobody has the time.
using job_taker = std::function<bool(std::function<void()> job)>;

/// The tokens that may come at a place, as soon as that is known. Any thread.
class token_mask {
public:
  bool is_made() const {
    return is_made_.load(std::memory_order_acquire);
  }

  /// Once it is made.
  const std::shared_ptr<const id_bits>& allowed() const {
    return allowed_;
  }

  bool any() const { ///< Some token is.
    return any_;
  }

  bool is_too_much() const { ///< To find out: none is.
    return is_too_much_;
  }

private:
  friend class grammar_masks;

  std::atomic<bool> is_made_ = false;
  std::shared_ptr<const id_bits> allowed_;
  bool any_ = false;
  bool is_too_much_ = false;
  bool is_ordered_ = false;                  ///< As what follows: under a lock.
  std::vector<std::function<void()>> wakes_; ///< Called when it is made.
};

/// Thread-safe.
class grammar_masks : public std::enable_shared_from_this<grammar_masks> {
public:
  using place = std::shared_ptr<const grammar_place>;

  struct mask {
    std::shared_ptr<const id_bits> allowed;
    bool any = false; ///< Some token is.
  };

  /// How often a mask was there already.
  struct counts {
    uint64_t asked = 0;
    uint64_t made = 0;
  };

  /// `beside` makes what `ask` is asked for; empty: who asks does.
  grammar_masks(std::shared_ptr<const grammar_program> program,
                std::shared_ptr<const vocabulary> words,
                const grammar_limits& limits = {}, job_taker beside = {});

  place begin();

  /// Behind one token more. A token that is not allowed leads nowhere.
  place after(const place& x, int32_t token);

  /// Of the tokens that may come next; whether one that ends the answer may is
  /// for `may_end` to say.
  mask mask_of(const place& x);

  /// The same; if it is not there, it is made beside, and `wake` called then,
  /// on another thread; with none it is made here. To be owned by a shared_ptr.
  std::shared_ptr<const token_mask> ask(const place& x,
                                        const std::function<void()>& wake);

  /// Whether the grammar has a token that follows. A mask may be too much all
  /// the same.
  grammar_outlook outlook(const place& x);

  static bool may_end(const place& x) {
    return !x->state.empty() && x->state.front() == 0;
  }

  counts counted() const;

  /// Of all that is kept.
  size_t num_bytes() const;

private:
  using slot = std::shared_ptr<token_mask>;
  using entry = std::pair<grammar_state, slot>;

  slot slot_for(const place& x, grammar_state& key);
  void make(const grammar_state& key, token_mask& to);

  const grammar_limits limits_;
  const size_t mask_bytes_;
  const size_t program_bytes_;
  const job_taker beside_;

  mutable std::mutex following_; ///< For what answers go along.
  vocabulary_walk follower_;

  std::mutex making_; ///< For what masks are made with.
  vocabulary_walk maker_;

  mutable std::mutex keeping_; ///< For what follows.
  std::unordered_map<grammar_state, std::list<entry>::iterator,
                     grammar_state_hash>
    masks_;
  std::list<entry> by_use_; ///< The last used first.
  counts counts_;
};

} // namespace troupe
