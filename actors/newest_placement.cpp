#include "actors/newest_placement.hpp"

namespace troupe {

placement newest_placement(const cast_list& list, unit_id unit) {
  auto& first = list.parts->maps[unit];
  auto i = list.placed.find(unit);
  if (i == list.placed.end())
    return first;
  auto next = first.with(*i->second);
  CHECK(next); // it was published
  return std::move(*next);
}

} // namespace troupe
