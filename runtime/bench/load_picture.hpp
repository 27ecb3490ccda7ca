#pragma once

/// A measurement as a picture: how latencies are spread, and below it tokens a
/// second and running requests over time.

#include "runtime/bench/load_summary.hpp"

namespace troupe::bench {

/// As SVG. `title` stands above, in one line.
std::string draw_load(const std::vector<call_record>& all,
                      const std::string& title);

} // namespace troupe::bench
