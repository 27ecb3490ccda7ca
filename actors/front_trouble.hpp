#pragma once

/// What people are told of what is missing: a part of the gateway's actor.

#include "actors/cast.hpp"
#include "runtime/cluster/rank_outlook.hpp"

#include <map>

namespace troupe {

/// `lost`: the losses of those who are not there, in peace or not. Not
/// `started`: the cluster takes no requests so far.
void publish_trouble(gateway_status& status,
                     const std::map<node_id, node_lost>& lost,
                     const rank_outlook& outlook, bool started);

} // namespace troupe
