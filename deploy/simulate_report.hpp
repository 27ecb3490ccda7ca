#pragma once

/// What `troupe simulate` says of a run: for people, or as JSON.

#include "actors/simulation.hpp"

#include <string>

namespace troupe {

/// One line: how it ended, with what, how long it took in virtual time.
std::string summary(const simulation_result& x);

/// What did not hold, fault by fault and entry by entry, in lines.
std::string details(const simulation_result& x);

/// One JSON object in one line.
std::string to_json(const simulation_result& x);

} // namespace troupe
