#pragma once

/// Who may be which node: by its name, if the topology knows it, and else by
/// what it brings, if there is an open place for that. A place keeps the name
/// of who was last to have it, so that one comes back to where it was; others
/// get it if there is none that was never taken. No clock, no I/O. Thread-safe:
/// a door asks, the controller says who has come and who is gone.

#include "runtime/cluster/cluster_state.hpp"

#include <mutex>
#include <set>

namespace troupe {

class open_places {
public:
  /// `remembered`: places with the name of who had them before the cluster was
  /// started again.
  explicit open_places(const topology& cluster,
                       const std::set<node_id>& remembered = {});

  /// Which node a process would be that has proven itself. An open place is
  /// kept for it from then on; but not for good, before somebody says taken().
  /// Error: refused with one sentence.
  result<node_id> place_of(const node_identity& who);

  /// The process is that node now, and the name that of the place.
  void taken(node_id node, const std::string& name, uint64_t incarnation);

  /// That process is gone, or was not let in. What names another one says
  /// nothing of who is there.
  void freed(node_id node, uint64_t incarnation, bool has_left);

private:
  /// Those before others are given first to who comes under a new name.
  enum class standing : uint8_t {
    never_taken,
    left,    ///< In peace.
    lost,    ///< Or not seen since the cluster was started.
    claimed, ///< By who has proven itself and may come yet.
    taken,
  };

  struct place {
    std::string name;
    bool is_open = false;
    standing is = standing::never_taken;
    standing before = standing::never_taken; ///< Of a claimed one.
    uint64_t incarnation = 0; ///< Of who has claimed or taken it.
    uint32_t num_ranks = 0;
    uint32_t num_workers = 0;
    std::set<std::string> units; ///< Of these.
  };

  static bool fits(const place& x, const node_share& brings);
  result<node_id> claim(const node_identity& who);

  mutable std::mutex mutex_;  ///< For what follows.
  std::vector<place> places_; ///< By node id.
  std::set<std::string> units_;
};

/// Gives open places the names that they had in the state of a cluster, where
/// these are nobody else's. Returns which have got one.
std::set<node_id> take_names(topology& cluster,
                             const std::optional<cluster_state>& kept);

} // namespace troupe
