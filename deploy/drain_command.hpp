#pragma once

/// `troupe node --drain` and `--undrain`: asks a server that runs, on its admin
/// socket, to let a node leave, and shows how far that is; or to keep it.

#include <cstdint>
#include <string>

namespace troupe {

struct drain_flags {
  std::string node;         ///< Its name; empty: nobody is to leave.
  std::string stays;        ///< Who is to stay after all; likewise.
  std::string admin_socket; ///< Of the server.
  uint32_t timeout_s = 60;
};

/// Returns the exit status: 0 once the node has left.
int drain(const drain_flags& flags);

/// Returns the exit status: 0 if it stays.
int undrain(const drain_flags& flags);

} // namespace troupe
