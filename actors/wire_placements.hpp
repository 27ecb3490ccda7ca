#pragma once

/// The messages of schemas/placements.capnp, field by field. Seen by wire.cpp
/// alone.

#include "actors/protocol.hpp"

#include "schemas/placements.capnp.h"

namespace troupe {

void write(schema::Placement::Builder x, const placement_published& msg);
void write_all(capnp::List<schema::Placement>::Builder to,
               const placements_of_units& all);
void write(schema::PlacementTaken::Builder x, const placement_taken& msg);
void write(schema::ChangeSlots::Builder x, const change_slots& msg);
void write(schema::SlotsChanged::Builder x, const slots_changed& msg);
void write(schema::ExpertsGivenUp::Builder x, const experts_given_up& msg);

placement_published read_placement(schema::Placement::Reader in);
/// Null: there are none.
std::shared_ptr<const placements_of_units>
read_all(capnp::List<schema::Placement>::Reader in);
placement_taken read_taken(schema::PlacementTaken::Reader in);
experts_given_up read_given_up(schema::ExpertsGivenUp::Reader in);

/// Error: invalid_input, if there is no such step.
result<change_slots> read_change(schema::ChangeSlots::Reader in);
result<slots_changed> read_changed(schema::SlotsChanged::Reader in);

} // namespace troupe
