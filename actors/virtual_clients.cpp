#include "actors/virtual_clients.hpp"

namespace troupe {

virtual_clients::virtual_clients(world& in, virtual_company& company,
                                 client_load load, run_checks& checks,
                                 sometimes_states& states)
  : world_(in), company_(company), checks_(checks), states_(states),
    streams_(load.streams) {
  for (auto& x : load.requests) {
    clients_.emplace_back();
    clients_.back().what = std::move(x);
  }
}

void virtual_clients::begin() {
  for (uint32_t i = 0; i < clients_.size(); ++i)
    world_.at(world_.now() + clients_[i].what.arrival, [this, i] { come(i); });
}

void virtual_clients::note(trace_kind kind, uint32_t i, uint64_t what) {
  world_.record({.kind = kind, .node = 0, .a = i, .b = what});
}

// -- coming -------------------------------------------------------------------

void virtual_clients::come(uint32_t i) {
  if (streams_ == 0 || open_.size() < streams_)
    return ask(i);
  clients_[i].at = stage::waiting;
  waiting_.push_back(i);
}

void virtual_clients::ask(uint32_t i) {
  auto& x = clients_[i];
  checks_.asked(i);
  auto* front = company_.front();
  if (!front)
    return refuse(i, {errc::peer_lost, "nobody answers"});
  auto id = front->submit(x.what.request,
                          [this, i](auto& event) { hear(i, event); });
  if (!id)
    return refuse(i, id.why());
  x.id = *id;
  x.at = stage::open;
  open_[x.id] = i;
  checks_.accepted(i);
  note(trace_kind::request_accepted, i);
  if (x.what.cancel_after)
    world_.at(world_.now() + *x.what.cancel_after, [this, i] { vanish(i); });
  if (x.what.cancel_after_tokens == 0u)
    vanish(i);
}

void virtual_clients::refuse(uint32_t i, const failure& why) {
  checks_.refused(i, why);
  ++figures_.refused;
  if (why.code == errc::overloaded)
    states_.reach(sometimes::request_refused_overloaded);
  end(i);
}

void virtual_clients::end(uint32_t i) {
  auto& x = clients_[i];
  if (x.at == stage::open)
    open_.erase(x.id);
  x.at = stage::done;
  ++num_done_;
  if (waiting_.empty())
    return;
  auto next = waiting_.front();
  waiting_.pop_front();
  world_.at(world_.now(), [this, next] { ask(next); });
}

// -- hearing ------------------------------------------------------------------

void virtual_clients::hear(uint32_t i, const generation_event& event) {
  auto& x = clients_[i];
  if (x.paces.empty() && x.free_at <= world_.now())
    return take(i, event);
  ++x.num_slowed;
  x.free_at = std::max(x.free_at, world_.now());
  if (!x.paces.empty())
    x.free_at += *x.paces.rbegin();
  world_.at(x.free_at, [this, i, event] { take(i, event); });
}

void virtual_clients::take(uint32_t i, const generation_event& event) {
  auto& x = clients_[i];
  checks_.heard(i, event);
  auto position = event.first_position;
  for (auto token : event.tokens)
    note(trace_kind::token_emitted, i,
         uint64_t{position++} << 32 | uint32_t(token));
  x.heard += uint32_t(event.tokens.size());
  figures_.tokens += event.tokens.size();
  if (event.finish != finish_reason::none) {
    note(trace_kind::request_ended, i, uint64_t(event.finish));
    count(event);
    return end(i);
  }
  auto limit = x.what.cancel_after_tokens;
  if (limit && x.heard >= *limit)
    vanish(i);
}

void virtual_clients::count(const generation_event& last) {
  if (last.finish != finish_reason::failed) {
    ++figures_.completed;
  } else if (last.cause && last.cause->code == errc::cancelled) {
    ++figures_.cancelled;
  } else {
    ++figures_.failed;
    states_.reach(sometimes::request_failed);
  }
}

// -- faults -------------------------------------------------------------------

std::optional<uint32_t> virtual_clients::find(request_id id) const {
  auto i = open_.find(id);
  return i == open_.end() ? std::nullopt : std::optional{i->second};
}

bool virtual_clients::is_there(uint32_t request) const {
  auto& x = clients_[request];
  return x.at == stage::open && !x.has_vanished;
}

void virtual_clients::vanish(uint32_t request) {
  if (!is_there(request))
    return;
  auto& x = clients_[request];
  x.has_vanished = true;
  checks_.cancel_asked(request);
  states_.reach(sometimes::client_vanished);
  states_.cancelled(x.heard);
  if (auto* front = company_.front())
    front->cancel(x.id);
}

void virtual_clients::slow_down(uint32_t request, virtual_duration pace) {
  clients_[request].paces.insert(pace);
}

void virtual_clients::speed_up(uint32_t request, virtual_duration pace) {
  auto& all = clients_[request].paces;
  all.erase(all.find(pace));
}

} // namespace troupe
