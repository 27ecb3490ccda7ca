#include "runtime/sim/virtual_link.hpp"

#include "runtime/sim/virtual_channel.hpp"

#include <algorithm>
#include <cstring>

namespace troupe {

namespace {

using link_kind = link_fault::kind;

bool is_about(frame_filter which, frame_class kind) {
  return which == frame_filter::heartbeat ? kind == frame_class::heartbeat
                                          : is_about(which, lane_of(kind));
}

bool is_tampering(link_kind x) {
  return x >= link_kind::duplicate;
}

std::string name_of_link(node_id from, node_id to) {
  return "link " + std::to_string(from) + " " + std::to_string(to);
}

} // namespace

virtual_link::virtual_link(world& w, node_id from, node_id to,
                           const link_model& model,
                           virtual_duration retransmission)
  : world_(w), model_(model), retransmission_(retransmission),
    chance_(w.stream(name_of_link(from, to))) {
}

// -- what doors say -----------------------------------------------------------

void virtual_link::say(life_id to, job what) {
  words_.push_back({to, std::move(what)});
  last_word_ = std::max(last_word_, world_.now() + flight(frame_class::hello));
  expect_word();
}

void virtual_link::expect_word() {
  world_.at(last_word_, [this] { arrive(); });
}

void virtual_link::arrive() {
  if (is_stopped(link_kind::cut, lane::control)) {
    ++num_owed_;
    return;
  }
  auto next = std::move(words_.front());
  words_.pop_front();
  world_.at(next.to, world_.now(), std::move(next.what));
}

// -- faults -------------------------------------------------------------------

void virtual_link::begin(const fault_ptr& x) {
  faults_.push_back(x);
  is_tampering_ |= troupe::is_tampering(x->what);
}

void virtual_link::heal(const fault_ptr& x) {
  if (std::erase(faults_, x) == 0)
    return;
  is_tampering_ = std::ranges::any_of(
    faults_, [](auto& y) { return troupe::is_tampering(y->what); });
  for (auto channel : channels_)
    channel->wake();
  std::erase_if(channels_, [](auto x) { return x->is_over(); });
  if (num_owed_ == 0 || is_stopped(link_kind::cut, lane::control))
    return;
  last_word_ = std::max(last_word_,
                        world_.now() + late() + flight(frame_class::hello));
  for (; num_owed_ > 0; --num_owed_)
    expect_word();
}

// -- for channels -------------------------------------------------------------

void virtual_link::add(virtual_channel& x) {
  channels_.push_back(&x);
}

void virtual_link::retire() {
  auto fresh = std::min(num_fresh_, num_kept);
  for (size_t i = 0; i < fresh; ++i)
    kept_[num_kept + num_old_++ % num_kept] = std::exchange(kept_[i], {});
  num_fresh_ = 0;
}

bool virtual_link::is_stopped(link_kind what, lane which, uint64_t& counted) {
  bool out = false;
  auto youngest = counted;
  for (auto& x : faults_)
    if (x->what == what && is_about(x->which, which)) {
      x->num_hit += x->number > counted ? 1 : 0;
      youngest = std::max(youngest, x->number);
      out = true;
    }
  counted = youngest;
  return out;
}

bool virtual_link::has_no_heartbeats() {
  bool out = false;
  for (auto& x : faults_)
    if (x->which == frame_filter::heartbeat
        && (x->what == link_kind::cut || x->what == link_kind::clog)) {
      ++x->num_hit;
      out = true;
    }
  return out;
}

virtual_duration virtual_link::transmission(size_t bytes, frame_class kind) {
  auto rate = model_.bytes_per_second;
  for (auto& x : faults_)
    if (x->what == link_kind::rate && is_about(x->which, kind)
        && (rate == 0 || x->bytes_per_second < rate)) {
      rate = x->bytes_per_second;
      ++x->num_hit;
    }
  return transmission_time(bytes, rate);
}

virtual_duration virtual_link::flight(frame_class kind) {
  auto out = flight_time(model_, chance_);
  for (auto& x : faults_)
    if (x->what == link_kind::delay && is_about(x->which, kind)) {
      out += x->time;
      ++x->num_hit;
    }
  return out;
}

virtual_duration virtual_link::late() {
  auto most = uint64_t(retransmission_.count());
  return virtual_duration{int64_t(chance_.uniform(most + 1))};
}

// -- tampering ----------------------------------------------------------------

std::vector<packet> virtual_link::tamper(packet x) {
  auto kind = frame_class(x.header[5]); // after magic and version
  std::vector<packet> out;
  if (draw(link_kind::duplicate, kind))
    out.push_back(x);
  out.push_back(std::move(x));
  if (draw(link_kind::corrupt, kind))
    spoil(out.back());
  auto fresh = std::min(num_fresh_, num_kept);
  auto old = std::min(num_old_, num_kept);
  if (fresh + old > 0 && draw(link_kind::replay, kind)) {
    auto i = chance_.uniform(fresh + old);
    out.push_back(kept_[i < fresh ? i : num_kept + i - fresh]);
  }
  return out;
}

/// One bit, of the header or of the body.
void virtual_link::spoil(packet& x) {
  auto size = x.payload.bytes().size();
  auto i = chance_.uniform(x.header.size() + size);
  auto bit = std::byte(1 << chance_.uniform(8));
  x.is_tampered = true;
  if (i < x.header.size()) {
    x.header[i] ^= bit;
    return;
  }
  auto copy = std::make_shared<std::vector<std::byte>>(
    x.payload.bytes().begin(), x.payload.bytes().end());
  (*copy)[i - x.header.size()] ^= bit;
  x.payload = {copy, *copy};
}

bool virtual_link::draw(link_kind what, frame_class kind) {
  bool out = false;
  for (auto& x : faults_)
    if (x->what == what && is_about(x->which, kind) && chance_.chance(x->p)) {
      ++x->num_hit;
      out = true;
    }
  return out;
}

void virtual_link::keep(const packet& x) {
  if (x.payload.bytes().size() > largest_kept)
    return;
  auto& kept = kept_[num_fresh_++ % num_kept];
  kept = x;
  kept.is_tampered = true; // whoever gets it again gets it from a fault
}

} // namespace troupe
