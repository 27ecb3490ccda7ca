#pragma once

/// The requests that clients wait for: who hears of each, and how much they
/// have heard. Whatever becomes of the actors, everyone hears of the end
/// exactly once, from whoever comes first: the gateway with a last event, or
/// the one who closes all.
///
///     taking --close--> closed: all have ended, none is opened any more
///
/// Any thread may call anything. Handlers are called one at a time for a
/// request, and may open other requests.

#include "runtime/service.hpp"
#include "runtime/tracing/request_log.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>

namespace troupe {

class open_requests {
public:
  /// Since the start, but for `open`.
  struct figures {
    uint64_t open = 0;
    uint64_t accepted = 0;
    uint64_t finished = 0;
    uint64_t failed = 0;
    uint64_t cancelled = 0;
  };

  /// What becomes of those that are announced is written down, too. Called
  /// before anything else.
  void record(std::shared_ptr<request_log> to) {
    log_ = std::move(to);
  }

  /// That `id`, which is open, asks for `what`, before anybody hears of it.
  void announce(request_id id, const generation_request& what) const {
    if (log_)
      log_->accepted(id, what);
  }

  /// Opens a request. Errors: overloaded if `limit` are open already, or why
  /// all were closed.
  result<request_id> open(event_handler on_event, uint64_t limit);

  /// Whether somebody waits for `id`.
  bool has(request_id id) const;

  /// Hands `event` on. What comes after the end is dropped.
  void deliver(request_id id, const generation_event& event);

  /// Ends a request with `cause`, after what it has heard.
  void fail(request_id id, const failure& cause);

  /// Who waits for `id` has heard all that was wanted: however it ends from
  /// here on, that counts as finished.
  void enough(request_id id);

  /// Opens nothing any more. Whatever is open has heard of its end, with `why`
  /// as its cause, when this returns. Only the cause of the first call counts.
  void close(const failure& why);

  /// Why all were closed; empty: they were not.
  std::optional<failure> closed() const;

  figures counted() const;

private:
  struct listener {
    std::mutex mutex; ///< Held while the handler runs.
    event_handler on_event;
    uint32_t position = 0; ///< Tokens heard.
    bool over = false;
    std::atomic<bool> has_enough = false;
  };

  using listener_ptr = std::shared_ptr<listener>;

  listener_ptr find(request_id id) const;
  void hand_on(request_id id, listener& x, const generation_event& event);
  void count_end(const generation_event& last, bool has_enough);

  std::shared_ptr<request_log> log_; ///< Null: nobody wants to know.
  mutable std::mutex mutex_; ///< For what follows; no handler runs under it.
  std::map<request_id, listener_ptr> listeners_;
  std::optional<failure> closed_;
  figures figures_;
};

} // namespace troupe
