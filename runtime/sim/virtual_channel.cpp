#include "runtime/sim/virtual_channel.hpp"

#include <algorithm>
#include <cstring>

namespace troupe {

namespace {

using link_kind = link_fault::kind;

frame_class class_of(const std::array<std::byte, frame_header::size>& x) {
  return frame_class(x[5]); // after magic and version
}

} // namespace

virtual_channel::virtual_channel(world& w, virtual_link& link, life_id from,
                                 life_id to, std::shared_ptr<block_pool> pool,
                                 seal_fn seal, arrival_fn arrive)
  : world_(w), link_(link), from_(from), to_(to), pool_(std::move(pool)),
    seal_(std::move(seal)), arrive_(std::move(arrive)) {
  link_.add(*this);
}

void virtual_channel::offer(parcel x) {
  if (is_closed_)
    return;
  if (!is_waiting())
    last_progress_ = world_.now();
  unsent_ += x.size();
  lanes_[size_t(lane_of(x.header.kind))].waiting.push(std::move(x));
  pump();
}

void virtual_channel::close() {
  if (std::exchange(is_closed_, true))
    return;
  world_.cancel(leaving_event_);
  world_.cancel(pump_event_);
  leaving_.reset();
  for (auto& x : lanes_)
    x.waiting.clear();
  unsent_ = 0;
  link_.retire();
}

bool virtual_channel::is_over() const {
  return is_closed_
         && std::ranges::all_of(lanes_, [](auto& x) { return x.air.empty(); });
}

size_t virtual_channel::num_under_way() const {
  auto out = leaving_ ? leaving_->size() : 0;
  for (auto& x : lanes_)
    out += x.in_air;
  return out;
}

std::optional<virtual_instant> virtual_channel::stalled_since() const {
  return is_waiting() ? std::optional{last_progress_} : std::nullopt;
}

bool virtual_channel::is_waiting() const {
  return unsent_ > 0;
}

void virtual_channel::wake() {
  for (size_t i = 0; i < num_lanes; ++i) {
    auto& x = lanes_[i];
    if (x.num_owed == 0 || link_.is_stopped(link_kind::cut, lane(i)))
      continue;
    x.last = std::max(x.last, world_.now() + link_.late()
                                + link_.flight(class_of(x.air.front().header)));
    for (; x.num_owed > 0; --x.num_owed)
      expect(lane(i));
  }
  pump_soon();
}

// -- what leaves --------------------------------------------------------------

/// As an event of the sender's: a stopped process hands nothing over.
void virtual_channel::pump_soon() {
  if (!is_waiting() || pump_event_ != 0 || is_closed_)
    return;
  pump_event_ = world_.at(from_, world_.now(), [this] {
    pump_event_ = 0;
    pump();
  });
}

void virtual_channel::pump() {
  while (!leaving_ && !is_closed_) {
    auto which = next_lane();
    if (!which)
      return;
    auto next = lanes_[size_t(*which)].waiting.pop();
    if (!seal_(next)) {
      unsent_ -= next.size();
      continue;
    }
    auto time = link_.transmission(next.size(), next.header.kind);
    leaving_ = std::move(next);
    if (time.count() > 0)
      leaving_event_ = world_.after(from_, time, [this] {
        leave();
        pump();
      });
    else
      leave();
  }
}

std::optional<lane> virtual_channel::next_lane() {
  return troupe::next_lane(
    [this](lane x) { return !lanes_[size_t(x)].waiting.empty(); },
    [this](lane x) {
      auto& l = lanes_[size_t(x)];
      auto& next = l.waiting.front();
      return has_room(link_.model(), l.in_air, next.size())
             && !link_.is_stopped(link_kind::clog, x, next.kept_by);
    });
}

void virtual_channel::leave() {
  auto x = std::move(*leaving_);
  leaving_.reset();
  unsent_ -= x.size();
  last_progress_ = world_.now();
  depart(std::move(x));
}

void virtual_channel::depart(parcel x) {
  auto which = lane_of(x.header.kind);
  auto& l = lanes_[size_t(which)];
  l.in_air += x.size();
  packet out{x.bytes};
  if (auto size = x.payload.bytes().size(); size > 0) {
    auto copy = take_shared(pool_, size);
    std::memcpy(copy.get(), x.payload.bytes().data(), size);
    out.payload = {copy, {copy.get(), size}};
  }
  l.last = std::max(l.last, world_.now() + link_.flight(x.header.kind));
  l.air.push(std::move(out));
  expect(which);
}

// -- what arrives -------------------------------------------------------------

void virtual_channel::expect(lane which) {
  world_.at(to_, lanes_[size_t(which)].last, [this, which] { arrive(which); });
}

void virtual_channel::arrive(lane which) {
  auto& l = lanes_[size_t(which)];
  if (link_.is_stopped(link_kind::cut, which)) {
    ++l.num_owed;
    return;
  }
  auto next = l.air.pop();
  l.in_air -= next.header.size() + next.payload.bytes().size();
  pump_soon();
  if (!is_closed_)
    link_.keep(next);
  if (!link_.is_tampering())
    return arrive_(std::move(next));
  for (auto& x : link_.tamper(std::move(next)))
    arrive_(std::move(x));
}

} // namespace troupe
