#pragma once

/// The grammars of a process's requests, each compiled once for as long as it
/// is among the last ones.

#include "runtime/grammar/compile_grammar.hpp"
#include "runtime/grammar/grammar_masks.hpp"
#include "runtime/service.hpp"
#include "runtime/turn_queue.hpp"

#include <list>
#include <memory>
#include <mutex>

namespace troupe {

struct grammar_cache_limits {
  size_t max_bytes = 64 << 20; ///< Of all that are kept; the last always is.
  size_t max_kept = 256;
  /// To be compiled; beyond, they are overloaded. More than the requests that a
  /// process may have: one that was accepted is not to end by it.
  size_t max_waiting = 1 << 16;
  grammar_limits of_each;
};

/// A grammar that somebody has asked for, as soon as it is compiled. Any
/// thread. What nobody has any more is not compiled.
class grammar_order {
public:
  bool is_done() const {
    return is_done_.load(std::memory_order_acquire);
  }

  /// Once it is done.
  const result<std::shared_ptr<grammar_masks>>& what() const {
    return what_;
  }

private:
  friend class grammar_cache;

  std::shared_ptr<const grammar_source> source_;
  std::atomic<bool> is_done_ = false;
  result<std::shared_ptr<grammar_masks>> what_ = failure{};
  std::vector<grammar_waker> wakers_; ///< Under the cache's lock.
};

/// Thread-safe.
class grammar_cache {
public:
  explicit grammar_cache(std::shared_ptr<const vocabulary> words,
                         const grammar_cache_limits& limits = {});

  /// What still waits to be made is dropped.
  ~grammar_cache();

  grammar_cache(const grammar_cache&) = delete;
  grammar_cache& operator=(const grammar_cache&) = delete;

  /// One of the same tokens that knows no grammar.
  std::shared_ptr<grammar_cache> fresh() const;

  /// From now on what is asked for is made on two threads of its own, grammars
  /// on one, in turns by their size, and masks on the other, in turns of their
  /// grammars. Before, who asks does it.
  void work_beside();

  /// The same with others' threads.
  void work_beside(job_taker compiles, job_taker makes_masks);

  /// Compiles it here if it is not known. Errors: see compile_grammar.
  result<std::shared_ptr<grammar_masks>> find(const grammar_source& x);

  /// The same without waiting: if it is not done, `wake` is called when it is.
  /// Errors: overloaded.
  std::shared_ptr<const grammar_order> ask(const grammar_source& x,
                                           const grammar_waker& wake);

  struct counts {
    uint64_t compiled = 0;
    uint64_t found = 0; ///< Asked for and there.
    size_t bytes = 0;   ///< Of what is kept.
  };

  counts counted() const;

  /// What has come since the last call, whoever it was that called: for those
  /// who keep one sum together. Bytes may have become fewer: they wrap around.
  counts growth();

private:
  using order = std::shared_ptr<grammar_order>;

  struct entry {
    uint64_t key = 0;
    std::shared_ptr<const grammar_source> source;
    order done;                           ///< Null: not yet.
    std::weak_ptr<grammar_order> awaited; ///< By those who were given it.
  };

  using entries = std::list<entry>;

  order found(const grammar_source& x, bool& is_new, entries& gone);
  void compile(const order& x);
  void end(const order& x, result<std::shared_ptr<grammar_masks>> what,
           bool is_kept = true);
  entries shrink();
  void let_go(entries x);
  void free_gone();
  counts counted_here() const;
  static size_t bytes_of(const entry& x);

  const std::shared_ptr<const vocabulary> words_;
  const grammar_cache_limits limits_;
  mutable std::mutex mutex_; ///< For what follows.
  entries by_use_;           ///< The last used first.
  entries gone_;             ///< To be freed beside.
  counts counts_;
  counts told_;
  job_taker compiles_;    ///< Empty: who asks does it.
  job_taker makes_masks_; ///< Likewise.
  /// Own threads, which use all before.
  std::shared_ptr<turn_queue> mask_thread_;
  std::shared_ptr<turn_queue> compile_thread_;
};

/// Why a request with a grammar cannot be where nothing is known of the tokens'
/// texts.
failure no_texts_of_tokens();

/// The grammar of a request; null if it has none. `from` is null where nothing
/// is known of the tokens' texts: invalid_input. Other errors: see `find`.
result<std::shared_ptr<grammar_masks>>
grammar_of(const generation_request& request, grammar_cache* from);

/// With what of the request is wrong.
failure of_the_grammar(const failure& x);

} // namespace troupe
