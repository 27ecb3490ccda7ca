#pragma once

/// Node processes of a topology on this machine, children of this one. None
/// outlives it: they are ended with the object, and the kernel kills them if
/// this process dies in any other way.

#include "runtime/error.hpp"

#include <memory>
#include <string>
#include <vector>

namespace troupe {

class local_nodes {
public:
  /// Runs this very program once for each list of arguments, whose first is
  /// the subcommand. To be called on the main thread: the kernel's promise is
  /// bound to the calling thread. Error: io.
  static result<std::unique_ptr<local_nodes>>
  start(const std::vector<std::vector<std::string>>& commands);

  /// Asks every child to end, waits for at most 5 s, then kills.
  ~local_nodes();

  local_nodes(const local_nodes&) = delete;
  local_nodes& operator=(const local_nodes&) = delete;

  /// Returns how many children have ended by themselves so far.
  size_t num_ended();

private:
  local_nodes() = default;

  /// Collects what has ended; returns whether all have.
  bool reap();

  std::vector<int> pids_; ///< 0: has ended.
  size_t num_ended_ = 0;
};

} // namespace troupe
