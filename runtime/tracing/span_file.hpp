#pragma once

/// A trace as a file that Perfetto and chrome://tracing open: JSON, one event a
/// line. A node is a process there, a track a thread; links have one for each
/// other node and direction. Arrows lead from dispatch over the experts to
/// combine; what is on its way between nodes has tracks of its own.

#include "runtime/error.hpp"
#include "runtime/tracing/spans.hpp"

#include <filesystem>

namespace troupe {

/// Error: io.
result<void> write_spans(const std::filesystem::path& path,
                         const std::vector<node_spans>& all);

/// Reads what write_spans has written, line by line. Errors: io, not_found,
/// invalid_input.
result<std::vector<node_spans>> read_spans(const std::filesystem::path& path);

} // namespace troupe
