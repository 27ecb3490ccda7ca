#pragma once

/// Where the state of a cluster is kept: in memory, or in a directory, of which
/// one process at a time is the owner. Not thread-safe: the controller's alone.

#include "runtime/cluster/cluster_state.hpp"

#include <filesystem>
#include <memory>
#include <optional>

namespace troupe {

class state_store {
public:
  virtual ~state_store() = default;

  /// What was kept last; nothing: nobody has kept anything yet.
  virtual const std::optional<cluster_state>& last() const = 0;

  /// Keeps `next`, whose revision becomes the next one, if the last one is
  /// `seen` (0: there is none yet). Errors: refused, if somebody else has
  /// changed it; io: then it is as it was, or, after a crash, perhaps `next`.
  virtual result<void> compare_and_set(uint64_t seen, cluster_state next) = 0;
};

/// Forgets all with its end.
std::unique_ptr<state_store> make_memory_store();

/// What a store in a directory does there, so that tests can let it fail.
class state_files {
public:
  virtual ~state_files() = default;

  /// Makes the directory, if need be, and locks it until the end of this.
  /// Errors: refused, if another process has; io.
  virtual result<void> lock(const std::filesystem::path& dir) = 0;
  /// Nothing: there is no such file. Error: io.
  virtual result<std::optional<std::vector<std::byte>>>
  read(const std::filesystem::path& file) = 0;
  /// A new file, or what was there is gone. Error: io.
  virtual result<void>
  write(const std::filesystem::path& file, std::span<const std::byte> bytes)
    = 0;
  /// What was written is on the disk. Error: io.
  virtual result<void> flush(const std::filesystem::path& file_or_dir) = 0;
  virtual result<void>
  rename(const std::filesystem::path& from, const std::filesystem::path& to)
    = 0;
};

/// Those of the system.
std::unique_ptr<state_files> make_state_files();

/// A file in `dir`, replaced as a whole with each change. Errors: refused, if
/// another process has the directory; io; invalid_input, if what is there is
/// damaged. All name a path.
result<std::unique_ptr<state_store>>
open_state_dir(const std::filesystem::path& dir,
               std::unique_ptr<state_files> files = make_state_files());

} // namespace troupe
