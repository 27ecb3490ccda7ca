#pragma once

/// Messages between nodes as Cap'n Proto bytes and back (schemas/wire.capnp,
/// Control). Only peer.cpp uses this.

#include "actors/protocol.hpp"

#include <variant>

namespace troupe {

/// Every message that may cross to another node.
using control_message = std::variant<
  welcome, node_loaded, view_published, node_connected, cluster_started,
  node_suspected, node_lost, shut_down, run_request, cancel_request,
  tokens_ready, node_report, rows_refused, placement_published, placement_taken,
  change_slots, slots_changed, experts_given_up, node_back, offer_blocks,
  want_blocks, block_taken, offer_ended, move_request, request_copied>;

/// Returns the body of a control frame.
body encode(const control_message& message);

/// Reads what `from` has sent. Error: invalid_input.
result<control_message> decode(node_id from, std::span<const std::byte> bytes);

} // namespace troupe
