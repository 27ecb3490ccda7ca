#include "runtime/meeting/meeting_rules.hpp"

#include <algorithm>

namespace troupe {

using decision = meeting_rules::decision;

namespace {

decision refuse(std::string why) {
  return {meeting_rules::course::refuse, std::move(why)};
}

} // namespace

decision meeting_rules::met(line_id line, node_id place,
                            const node_identity& who) {
  if (is_over(who.incarnation))
    return refuse("that process was given up; only a new one can join");
  if (is_elsewhere(who.incarnation, place))
    return refuse("that process is here already as another node");
  if (auto* holder = holder_of(place)) {
    // It came to us meanwhile, and that line stays.
    if (holder->incarnation == who.incarnation)
      return {course::drop};
    return refuse("node " + who.name + " is connected as another process");
  }
  // Of two dials to one process the first stays.
  if (dial_to(who.incarnation))
    return {course::drop};
  lines_[line] = {place, who.incarnation, true, false, who.name};
  return {};
}

decision meeting_rules::welcomed(line_id line) {
  auto i = lines_.find(line);
  if (i == lines_.end())
    return {course::drop};
  if (holder_of(i->second.place))
    return refuse("node " + i->second.name
                  + " is connected as another process");
  i->second.is_taken = true;
  return {};
}

decision meeting_rules::proven(line_id line, const result<node_id>& place,
                               const node_identity& who) {
  if (is_over(who.incarnation))
    return refuse("this process was given up; only a new one can join");
  if (!place)
    return refuse(place.why().message);
  if (is_elsewhere(who.incarnation, *place))
    return refuse("this process is here already as another node");
  if (auto* holder = holder_of(*place)) {
    if (holder->incarnation == who.incarnation)
      return refuse("the node is connected already");
    return refuse("node " + who.name
                  + " is here already, as another process; it stays");
  }
  auto ours = dial_to(who.incarnation);
  if (ours && incarnation_ < who.incarnation)
    return {course::leave};
  if (ours)
    lines_.erase(*ours);
  lines_[line] = {*place, who.incarnation, false, true, who.name};
  return {.gives_way = ours};
}

void meeting_rules::given_up(line_id line) {
  ended(line, true);
}

void meeting_rules::ended(line_id line, bool was_joined) {
  auto i = lines_.find(line);
  if (i == lines_.end())
    return;
  if (was_joined)
    remember(i->second.incarnation);
  lines_.erase(i);
}

void meeting_rules::remember(uint64_t incarnation) {
  if (is_over(incarnation))
    return;
  over_.push_back(incarnation);
  if (over_.size() > max_over)
    over_.pop_front();
}

bool meeting_rules::is_here(uint64_t incarnation) const {
  return std::ranges::any_of(
    lines_, [=](auto& x) { return x.second.incarnation == incarnation; });
}

bool meeting_rules::is_over(uint64_t incarnation) const {
  return std::ranges::find(over_, incarnation) != over_.end();
}

const meeting_rules::entry* meeting_rules::holder_of(node_id place) const {
  for (auto& [line, x] : lines_)
    if (x.place == place && x.is_taken)
      return &x;
  return nullptr;
}

bool meeting_rules::is_elsewhere(uint64_t incarnation, node_id place) const {
  return incarnation == incarnation_
         || std::ranges::any_of(lines_, [=](auto& x) {
              return x.second.is_taken && x.second.place != place
                     && x.second.incarnation == incarnation;
            });
}

std::optional<line_id> meeting_rules::dial_to(uint64_t incarnation) const {
  for (auto& [line, x] : lines_)
    if (x.is_ours && !x.is_taken && x.incarnation == incarnation)
      return line;
  return std::nullopt;
}

} // namespace troupe
