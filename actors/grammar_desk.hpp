#pragma once

/// The grammars of a rank's requests: parts of the scheduler's actor. They are
/// compiled beside it; a request whose grammar is not known waits here, for no
/// longer than so many of them can take that may wait to be compiled.

#include "actors/cast.hpp"
#include "runtime/grammar/grammar_cache.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <memory>

namespace troupe {

/// Tells its owner that something is ready, once until that has been heard,
/// however many things are. Any thread.
class grammar_bell {
public:
  explicit grammar_bell(std::function<void()> tell) : tell_(std::move(tell)) {
  }

  void ring() {
    if (!rings_.exchange(true))
      tell_();
  }

  /// Before its owner looks at what is ready.
  void hear() {
    rings_.exchange(false); // reads what a ring wrote: what it was for is seen
  }

private:
  std::function<void()> tell_;
  std::atomic<bool> rings_ = false;
};

class grammar_desk {
public:
  /// Null: there is none.
  using grammar = std::shared_ptr<grammar_masks>;

  grammar_desk() = default;

  /// `wake` is called by another thread when `ready` has somebody.
  explicit grammar_desk(grammar_waker wake) : wake_(std::move(wake)) {
  }

  /// The grammar of `msg`, or why it has none; nothing: it waits here. `from`
  /// is null where nothing is known of the tokens' texts.
  std::optional<result<grammar>> ask(const run_request& msg,
                                     grammar_cache* from);

  struct arrival {
    run_request who;
    result<grammar> what;
  };

  /// Who waits no more.
  std::vector<arrival> ready();

  /// Whether this request waited here under that term; it does no more. What
  /// was kept for it goes.
  std::optional<run_request> cancel(const cancel_request& msg);

  /// Keeps a grammar that was given out until its request is let in.
  void keep(const run_request& msg, grammar what);
  grammar take(const run_request& msg);

  uint32_t num_waiting() const {
    return static_cast<uint32_t>(waiting_.size());
  }

private:
  struct wait {
    run_request who;
    std::shared_ptr<const grammar_order> what;
  };

  using key = std::pair<request_id, uint32_t>; ///< And its term.

  static result<grammar> given(const grammar_order& x);

  grammar_waker wake_;
  std::map<key, wait> waiting_;
  std::map<key, grammar> kept_;
};

} // namespace troupe
