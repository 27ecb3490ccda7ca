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
  /// kept for it from then on, until somebody says taken() or stayed_away();
  /// but not if there is no other for somebody else. Error: refused with one
  /// sentence.
  result<node_id> place_of(const node_identity& who);

  /// The process is that node now, and the name that of the place.
  void taken(node_id node, const std::string& name, uint64_t incarnation);

  /// A place was kept for that process, and it does not come after all.
  void stayed_away(node_id node, uint64_t incarnation);

  /// That process is gone, or was not let in. If it was no member, the place is
  /// what it was before it came, with the name that it had then, if nobody else
  /// has come under that. What names another process says nothing of who is
  /// there. Returns the place's name.
  std::string freed(node_id node, uint64_t incarnation, bool was_member,
                    bool has_left);

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
    std::string former;   ///< Its name before it was taken.
    std::string claimant; ///< The name of who has claimed it.
    bool is_open = false;
    standing is = standing::never_taken;
    standing before = standing::never_taken; ///< Of who has it.
    uint64_t incarnation = 0; ///< Of who has claimed or taken it.
    node_shape shape;
  };

  bool has_other(const std::string& name) const;
  static bool is_of(const place& x, const std::string& unit);
  static bool fits(const place& x, const node_share& brings);
  result<node_id> claim(const node_identity& who);

  mutable std::mutex mutex_;  ///< For what follows.
  std::vector<place> places_; ///< By node id.
  std::set<std::string> units_;
};

/// Gives open places the names that they had in the state of a cluster, where
/// these are nobody else's. In a topology that has been changed since, they may
/// be others of the same shape. Returns which have got one.
std::set<node_id> take_names(topology& cluster,
                             const std::optional<cluster_state>& kept);

} // namespace troupe
