#pragma once

/// The sessions of an I/O thread, found by whatever names them, and their
/// orderly end: noted at once, carried out when UCX is not at work, and over
/// once UCX has let go of the link.

#include "runtime/transport/ucx_session.hpp"

#include <map>
#include <unordered_map>
#include <vector>

namespace troupe {

using session_ptr = std::shared_ptr<ucx_session>;

class ucx_sessions {
public:
  /// From a line and an incarnation that no other session has.
  void add(const session_ptr& x);

  /// It has got its link.
  void add_link(const session_ptr& x);

  /// It holds its peer's place, which is free.
  void add_joined(const session_ptr& x);

  /// A successor may have its place.
  void free_place(const ucx_session& x);

  // Null if there is none.
  session_ptr find(node_id joined_peer) const;
  session_ptr find_line(line_id line) const;
  session_ptr find_link(const ucx_link& link) const;
  session_ptr find_incarnation(uint64_t incarnation) const;

  const std::map<line_id, session_ptr>& all() const {
    return by_line_;
  }

  /// Sends, or lets it wait for room.
  void offer(ucx_session& to, ucx_session::parcel x);

  /// Sends what has waited. Returns whether anything was sent.
  bool pump();

  /// It is over from now on. An empty `why`: nobody is told.
  void end(ucx_session& x, errc code, std::string why);

  /// Closes those that are over, and returns them. Not within progress().
  std::vector<session_ptr> bury();

  /// Ends and closes all.
  void close_all();

  /// Whether UCX still holds links that were closed. Not within progress().
  bool is_closing();

private:
  void forget(const session_ptr& x);

  std::map<line_id, session_ptr> by_line_;
  std::unordered_map<uint64_t, session_ptr> by_incarnation_;
  std::unordered_map<const ucx_link*, session_ptr> by_link_;
  std::map<node_id, session_ptr> joined_;
  std::vector<session_ptr> congested_; ///< With frames that wait.
  std::vector<session_ptr> over_;
  std::vector<std::shared_ptr<ucx_link>> closing_;
};

} // namespace troupe
