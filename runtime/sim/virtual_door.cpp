#include "runtime/sim/virtual_door.hpp"

namespace troupe {

namespace {

// As a door of sockets has them.
constexpr std::chrono::milliseconds between_tries{200};
constexpr std::chrono::seconds last_words{1};

} // namespace

virtual_door::virtual_door(world& w, virtual_street& street, life_id life,
                           door_options options, handshake_options who,
                           entropy& chance, door_handler handler)
  : world_(w), street_(street), life_(life), node_(w.node_of(life)),
    options_(std::move(options)), who_(std::move(who)), chance_(chance),
    handler_(std::move(handler)) {
  who_.self.listen = options_.listen;
}

virtual_door::~virtual_door() {
  for (auto& [id, x] : lines_) {
    world_.cancel(x.limit);
    hang_up(id, x);
  }
}

line_id virtual_door::dial(dial_target target) {
  auto id = street_.next_line();
  auto& x = add(id, handshake::role::initiator, target.deadline);
  x.at = state::dialling;
  x.target = std::move(target);
  reach_after(id, {});
  return id;
}

void virtual_door::proceed(line_id line) {
  auto x = find(line);
  if (!x || x->at != state::asked)
    return;
  x->at = state::meeting;
  write(line, *x, std::move(x->next.reply));
}

void virtual_door::welcome(line_id line) {
  auto x = find(line);
  if (!x || x->at != state::asked)
    return;
  world_.cancel(x->limit);
  x->at = state::up;
  write(line, *x, x->meeting.welcome());
}

void virtual_door::refuse(line_id line, std::string why) {
  auto x = find(line);
  if (!x || x->at == state::parting)
    return;
  write(line, *x, handshake::refuse(why));
  if (x->at != state::up)
    return drop(line, {errc::refused, why}, false);
  x->at = state::parting;
  limit(line, *x, last_words, "did not hear that it is given up");
}

void virtual_door::close(line_id line) {
  if (find(line))
    drop(line, {}, false);
}

door_stats virtual_door::stats() const {
  return stats_;
}

void virtual_door::reset(line_id line) {
  drop(line, {errc::peer_lost, "closed its connection"});
}

// -- lines --------------------------------------------------------------------

virtual_door::line* virtual_door::find(line_id id) {
  auto i = lines_.find(id);
  return i == lines_.end() ? nullptr : &i->second;
}

virtual_door::line& virtual_door::add(line_id id, handshake::role role,
                                      virtual_duration deadline) {
  auto [i, is_new] = lines_.emplace(id, line{{role, who_, make_nonce()}});
  CHECK(is_new);
  limit(id, i->second, deadline, "there was no answer in time");
  return i->second;
}

hello_nonce virtual_door::make_nonce() {
  hello_nonce out;
  chance_.fill(out);
  return out;
}

acquaintance virtual_door::acquaintance_of(line_id id, const line& x) const {
  return {id, x.meeting.peer(), x.meeting.peer_data_address(),
          x.meeting.is_done() ? x.meeting.frame_tag() : 0,
          x.meeting.checksum_bodies()};
}

void virtual_door::limit(line_id id, line& x, virtual_duration time,
                         const char* why) {
  world_.cancel(x.limit);
  auto& local = world_.clock_of(life_);
  x.limit = world_.at(life_, local.to_world(local.now() + time),
                      [this, id, why] {
                        drop(id, {errc::deadline_passed, why});
                      });
}

// -- what comes ---------------------------------------------------------------

/// What happens at the other machine needs no process there if none listens.
void virtual_door::reach(line_id id) {
  auto x = find(id);
  if (!x)
    return;
  auto address = x->target.address;
  auto node = street_.node_at(address);
  if (!node)
    return on_nobody(id);
  x->node = *node;
  auto& street = street_;
  auto& w = world_;
  auto life = life_;
  auto from = node_;
  street.say(
    from, *node, no_life, [&street, &w, life, from, address, id, node = *node] {
      if (auto there = street.door_at(address))
        w.make_ready(there->life_, [&street, to = there->life_, id, life] {
          if (auto door = street.door_of(to))
            door->on_call(id, life);
        });
      else
        street.say(node, from, life, [&street, life, id] {
          if (auto door = street.door_of(life))
            door->on_nobody(id);
        });
    });
}

void virtual_door::on_nobody(line_id id) {
  auto x = find(id);
  if (!x || x->at != state::dialling)
    return;
  if (!x->target.is_patient)
    return drop(id, {errc::peer_lost, "Connection refused"});
  reach_after(id, between_tries);
}

/// Unless there is no more of this door by then.
void virtual_door::reach_after(line_id id, virtual_duration time) {
  world_.after(life_, time, [&street = street_, life = life_, id] {
    if (auto door = street.door_of(life))
      door->reach(id);
  });
}

void virtual_door::on_call(line_id id, life_id from) {
  ++stats_.came;
  auto& x = add(id, handshake::role::responder, options_.deadline);
  x.other = from;
  x.node = world_.node_of(from);
  // The one who dialled speaks first, once it knows that we are there.
  auto& street = street_;
  street.say(node_, x.node, from, [&street, from, id, life = life_] {
    auto door = street.door_of(from);
    auto line = door ? door->find(id) : nullptr;
    if (!line || line->at != state::dialling)
      return;
    line->other = life;
    line->at = state::meeting;
    door->write(id, *line, line->meeting.greeting());
  });
}

void virtual_door::on_bytes(line_id id, life_id from, const bytes& message) {
  auto x = find(id);
  if (!x || x->other != from)
    return;
  if (x->at == state::up || x->at == state::parting)
    return on_last_words(id, message);
  if (x->at == state::meeting)
    take(id, *x, x->meeting.receive(message));
}

void virtual_door::on_last_words(line_id id, const bytes& message) {
  auto why = handshake::read_refusal(message);
  drop(id, {errc::peer_lost,
            why ? "gave us up: " + *why : "sent bytes where none belong"});
}

void virtual_door::on_closed(line_id id) {
  auto x = find(id);
  if (!x)
    return;
  auto was_up = x->at == state::up || x->at == state::parting;
  drop(id, {errc::peer_lost,
            was_up ? "closed its connection" : "it closed its connection"});
}

/// Does what the handshake says.
void virtual_door::take(line_id id, line& x, handshake::step step) {
  if (step.failed) {
    if (!step.refused_by_peer)
      write(id, x, std::move(step.reply));
    return drop(id, *step.failed);
  }
  auto is_ours = x.meeting.side() == handshake::role::initiator;
  if (step.met) {
    auto& name = x.meeting.peer().name;
    if (!x.target.name.empty() && name != x.target.name)
      return drop(id, {errc::peer_lost, "node " + name + " is there instead of "
                                          + x.target.name});
    x.at = state::asked;
    x.next = std::move(step);
    return handler_.on_met(id, x.meeting.peer());
  }
  if (!step.reply.empty())
    write(id, x, std::move(step.reply));
  if (!step.done)
    return;
  if (is_ours) {
    world_.cancel(x.limit);
    x.at = state::up;
    return handler_.on_welcomed(acquaintance_of(id, x));
  }
  ++stats_.proven;
  x.at = state::asked;
  handler_.on_proven(acquaintance_of(id, x));
}

// -- what goes ----------------------------------------------------------------

void virtual_door::write(line_id id, const line& x, bytes message) {
  auto& street = street_;
  street.say(
    node_, x.node, x.other,
    [&street, to = x.other, from = life_, id, message = std::move(message)] {
      if (auto door = street.door_of(to))
        door->on_bytes(id, from, message);
    });
}

void virtual_door::hang_up(line_id id, const line& x) {
  if (x.other == no_life)
    return;
  auto& street = street_;
  street.say(node_, x.node, x.other, [&street, to = x.other, id] {
    if (auto door = street.door_of(to))
      door->on_closed(id);
  });
}

/// Its owner is told unless it has asked for it.
void virtual_door::drop(line_id id, failure why, bool is_told) {
  auto i = lines_.find(id);
  if (i == lines_.end())
    return;
  auto x = std::move(i->second);
  lines_.erase(i);
  world_.cancel(x.limit);
  hang_up(id, x);
  auto is_ours = x.meeting.side() == handshake::role::initiator;
  auto was_up = x.at == state::up || x.at == state::parting;
  if (!was_up && !is_ours)
    ++stats_.dropped;
  if (!is_told)
    return;
  if (was_up && handler_.on_ended)
    handler_.on_ended(id, why.message);
  else if (!was_up && is_ours && handler_.on_failed)
    handler_.on_failed(id, why);
}

} // namespace troupe
