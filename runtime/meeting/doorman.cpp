#include "runtime/meeting/doorman.hpp"

#include "runtime/transport/ucx_address.hpp"

namespace troupe {

using course = meeting_rules::course;

doorman::doorman(owner to, uint64_t incarnation, const logger& log)
  : owner_(std::move(to)), log_(log), rules_(incarnation) {
}

result<endpoint_address> doorman::open(door_options options,
                                       handshake_options who, entropy& chance) {
  deadline_ = options.deadline;
  auto made = door::open(std::move(options), std::move(who), chance, log_,
                         make_handler());
  if (!made)
    return made.why();
  door_ = std::move(*made);
  return door_->address();
}

void doorman::open(std::unique_ptr<door> made,
                   std::chrono::milliseconds deadline) {
  deadline_ = deadline;
  door_ = std::move(made);
}

door_handler doorman::make_handler() {
  door_handler out;
  out.on_proven = [this](acquaintance x) {
    owner_.post([this, x = std::move(x)] { on_proven(x); });
  };
  out.on_met = [this](line_id line, const node_identity& who) {
    owner_.post([this, line, who] { on_met(line, who); });
  };
  out.on_welcomed = [this](acquaintance x) {
    owner_.post([this, x = std::move(x)] { on_welcomed(x); });
  };
  out.on_failed = [this](line_id line, const failure& why) {
    owner_.post([this, line, why] { fail(line, why); });
  };
  out.on_ended = [this](line_id line, const std::string& why) {
    owner_.post([this, line, why] { owner_.line_ended(line, why); });
  };
  return out;
}

void doorman::dial(node_id peer, dial_target target) {
  dialled entry{peer, to_string(target.address), target.deadline};
  dials_[door_->dial(std::move(target))] = std::move(entry);
}

void doorman::on_proven(const acquaintance& x) {
  result<node_id> place = failure{errc::refused, "nobody joins here"};
  if (owner_.admit.place_of)
    place = owner_.admit.place_of(x.who);
  auto decision = rules_.proven(x.line, place, x.who);
  if (decision.gives_way) {
    dials_.erase(*decision.gives_way);
    door_->close(*decision.gives_way);
  }
  if (decision.what == course::take) {
    guests_[x.line] = {*place, x.who.incarnation};
    owner_.open(x, *place, false, deadline_);
    return door_->welcome(x.line);
  }
  if (place)
    give_place_back(*place, x.who.incarnation);
  if (decision.what == course::refuse) {
    log_.warning("refused node " + x.who.name + ": " + decision.why);
    door_->refuse(x.line, decision.why);
  }
}

void doorman::on_met(line_id line, const node_identity& who) {
  auto i = dials_.find(line);
  if (i == dials_.end())
    return door_->close(line);
  auto decision = rules_.met(line, i->second.peer, who);
  if (decision.what == course::take)
    return door_->proceed(line);
  if (decision.what == course::refuse)
    fail(line, {errc::refused, decision.why});
  dials_.erase(line);
  door_->close(line);
}

void doorman::on_welcomed(const acquaintance& x) {
  auto i = dials_.find(x.line);
  if (i == dials_.end())
    return door_->close(x.line);
  auto decision = rules_.welcomed(x.line);
  if (decision.what == course::take)
    return owner_.open(x, i->second.peer, true, i->second.deadline);
  if (decision.what == course::refuse)
    fail(x.line, {errc::refused, decision.why});
  dials_.erase(x.line);
  door_->close(x.line);
}

void doorman::joined(line_id line) {
  dials_.erase(line);
  guests_.erase(line); // its owner says what becomes of its place
}

void doorman::give_up(line_id line, const std::string& why) {
  rules_.given_up(line);
  door_->refuse(line, why);
}

void doorman::ended(line_id line, bool was_joined, const failure& why) {
  door_->close(line);
  rules_.ended(line, was_joined);
  if (auto x = guests_.extract(line))
    give_place_back(x.mapped().place, x.mapped().incarnation);
  fail(line, why);
}

/// Another line of the same process may have it still.
void doorman::give_place_back(node_id place, uint64_t incarnation) {
  if (owner_.admit.stayed_away && !rules_.is_here(incarnation))
    owner_.admit.stayed_away(place, incarnation);
}

void doorman::fail(line_id line, const failure& why) {
  auto i = dials_.find(line);
  if (i == dials_.end())
    return;
  auto dial = i->second;
  dials_.erase(i);
  rules_.ended(line, false);
  if (owner_.connect_failed)
    owner_.connect_failed(dial.peer,
                          {why.code, "cannot join the node at " + dial.address
                                       + ": " + why.message});
}

} // namespace troupe
