#pragma once

/// The joined peers as senders see them, on any thread.

#include "runtime/transport/ucx_session.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>

namespace troupe {

class ucx_peers {
public:
  void add(const std::shared_ptr<ucx_peer>& x) {
    std::lock_guard guard{mutex_};
    peers_[x->id] = x;
  }

  /// Null if there is none.
  std::shared_ptr<ucx_peer> find(node_id id) const {
    std::shared_lock guard{mutex_};
    auto i = peers_.find(id);
    return i == peers_.end() ? nullptr : i->second;
  }

  /// Returns whether that process was there; another incarnation stays.
  bool remove(node_id id, uint64_t incarnation) {
    std::lock_guard guard{mutex_};
    auto i = peers_.find(id);
    if (i == peers_.end() || i->second->identity.incarnation != incarnation)
      return false;
    peers_.erase(i);
    return true;
  }

private:
  mutable std::shared_mutex mutex_;
  std::map<node_id, std::shared_ptr<ucx_peer>> peers_;
};

} // namespace troupe
