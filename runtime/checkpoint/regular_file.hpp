#pragma once

/// Files of a model directory, which anybody may have put there: opened so
/// that a FIFO, a device or a directory in place of one never blocks.

#include "runtime/error.hpp"

#include <cstdint>
#include <filesystem>
#include <string>

namespace troupe {

/// Opens a regular file, or a link to one, for reading. The caller owns the
/// descriptor. Errors: not_found if there is nothing, else io.
result<int> open_regular_file(const std::filesystem::path& path);

/// Returns what stands in the file. Errors: as above; io if it cannot be read
/// or shrinks meanwhile; invalid_input if it has more than `max_bytes`.
result<std::string> read_regular_file(const std::filesystem::path& path,
                                      uint64_t max_bytes);

} // namespace troupe
