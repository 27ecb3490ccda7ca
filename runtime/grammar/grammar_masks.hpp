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
#include <span>
#include <unordered_map>
#include <vector>

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

/// Has a job, which says whether it has done anything, done by another thread,
/// in turns of those whose jobs there are; false: too many wait already.
using job_taker
  = std::function<bool(uint64_t whose, std::function<bool()> job)>;

/// Called, on another thread, when what was asked for is there. Who asks with
/// the same one again meanwhile is called once.
using grammar_waker = std::shared_ptr<const std::function<void()>>;

/// Why a mask allows nothing, if it is not the grammar: it takes more than it
/// may; too many others are being made.
enum class mask_trouble : uint8_t { none, too_much, overloaded };

/// The tokens that may come at a place, as soon as that is known. Any thread.
/// What nobody has any more is not made.
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

  mask_trouble trouble() const {
    return trouble_;
  }

private:
  friend class grammar_masks;

  std::atomic<bool> is_made_ = false;
  std::shared_ptr<const id_bits> allowed_;
  bool any_ = false;
  mask_trouble trouble_ = mask_trouble::none;
  bool is_ordered_ = false; ///< As what follows: under a lock.
  std::vector<grammar_waker> wakers_;
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

  struct followed {
    place at;
    size_t count = 0;  ///< Tokens that led there.
    uint64_t work = 0; ///< See grammar_matcher::work.
  };

  /// Behind the first of `tokens`, at least one: as many as an eighth of
  /// max_step_work is enough for.
  followed follow(const place& x, std::span<const int32_t> tokens);

  /// Of the tokens that may come next; whether one that ends the answer may is
  /// for `may_end` to say.
  mask mask_of(const place& x);

  /// The same; if it is not there, it is made beside, and `wake` called then;
  /// with none it is made here. To be owned by a shared_ptr.
  std::shared_ptr<const token_mask> ask(const place& x,
                                        const grammar_waker& wake);

  /// Whether the grammar has a token that follows. A mask may be too much all
  /// the same. Adds what that took.
  grammar_outlook outlook(const place& x, uint64_t& work);

  grammar_outlook outlook(const place& x) {
    uint64_t work = 0;
    return outlook(x, work);
  }

  static bool may_end(const place& x) {
    return !x->state.empty() && x->state.front() == 0;
  }

  counts counted() const;

  /// Of all that is kept.
  size_t num_bytes() const;

private:
  using slot = std::shared_ptr<token_mask>;

  struct entry {
    slot made;                         ///< Null: not yet.
    std::weak_ptr<token_mask> awaited; ///< By those who were given it.
    std::list<const grammar_state*>::iterator at; ///< In by_use_.
  };

  using table = std::unordered_map<grammar_state, entry, grammar_state_hash>;
  using dropped = std::vector<table::node_type>;

  slot slot_for(const place& x, grammar_state& key);
  void make(const grammar_state& key, const slot& to);
  void refuse(const grammar_state& key, token_mask& to);
  size_t bytes_of(const grammar_state& key, const entry& x) const;
  dropped shrink();

  const grammar_limits limits_;
  const size_t mask_bytes_;
  const size_t program_bytes_;
  const job_taker beside_;

  mutable std::mutex following_; ///< For what answers go along.
  vocabulary_walk follower_;

  std::mutex making_; ///< For what masks are made with.
  vocabulary_walk maker_;

  mutable std::mutex keeping_; ///< For what follows.
  table masks_;
  std::list<const grammar_state*> by_use_; ///< The last used first.
  size_t kept_bytes_ = 0;                  ///< Of masks_.
  counts counts_;
};

/// Adds `x` if it is not there.
void add_waker(std::vector<grammar_waker>& to, const grammar_waker& x);

} // namespace troupe
