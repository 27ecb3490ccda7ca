#pragma once

/// Whether the workers of a unit have slots for all experts of a model.

#include "runtime/checkpoint/config.hpp"
#include "runtime/error.hpp"
#include "runtime/topology.hpp"

#include <string>

namespace troupe {

/// Whether every worker of `unit` has a slot, every slot something to hold, and
/// the workers that are there from the start a slot for each expert. `where`:
/// what is said of the unit, if there are several. Error: invalid_input.
result<void> check_slots(const topology& cluster, const topology_unit& unit,
                         const model_config& config, const std::string& where);

} // namespace troupe
