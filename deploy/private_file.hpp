#pragma once

/// Files that hold secrets.

#include "runtime/error.hpp"

namespace troupe {

/// Reads all of `path`, a regular file that nobody but its owner may read or
/// write. A file of root's may be read by a group as well: it is how a secret
/// is handed to a process of another user. Errors: io; invalid_input if others
/// may, or if it has more than `max_bytes`.
result<std::string> read_private_file(const std::string& path,
                                      size_t max_bytes);

} // namespace troupe
