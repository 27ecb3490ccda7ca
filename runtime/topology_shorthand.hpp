#pragma once

/// Clusters in a word, as the field names them: "dep144" is 144 ranks and as
/// many workers, each device being both; "4P1D" is four units that prefill and
/// one that decodes, each of its kind's size.

#include "runtime/topology.hpp"

#include <string_view>
#include <vector>

namespace troupe {

/// Whether the text is such a word, and no file's name.
bool is_shorthand(std::string_view text);

/// Returns the units, without nodes that hold their parts. The sizes of
/// prefill and decode units are words of the first kind. Errors: invalid_input,
/// with one sentence.
result<std::vector<topology_unit>> parse_shorthand(std::string_view text,
                                                   std::string_view prefill,
                                                   std::string_view decode);

/// Processes on one machine: with several, node 0 is gateway and controller,
/// and the others share out ranks and workers, in order and evenly. num_nodes
/// >= 1; nodes that would have nothing to do are left out.
topology spread(std::vector<topology_unit> units, uint32_t num_nodes);

} // namespace troupe
