#pragma once

/// `troupe node --drain`: asks a server that runs, on its admin socket, to let
/// a node leave, and shows how far that is.

#include <cstdint>
#include <string>

namespace troupe {

struct drain_flags {
  std::string node;         ///< Its name; empty: nobody is to leave.
  std::string admin_socket; ///< Of the server.
  uint32_t timeout_s = 60;
};

/// Returns the exit status: 0 once the node has left.
int drain(const drain_flags& flags);

} // namespace troupe
