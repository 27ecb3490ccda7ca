#include "runtime/transport/emulated_link.hpp"

#include <algorithm>

namespace troupe {

emulated_link::emulated_link(const link_model& model, uint64_t seed)
  : model_(model), chance_(seed) {
}

void emulated_link::offer(parcel x, clock::instant now) {
  advance(now);
  unsent_ += x.size();
  lanes_[size_t(lane_of(x.header.kind))].waiting.push(std::move(x));
  leave(now);
}

std::optional<emulated_link::parcel> emulated_link::take(clock::instant now) {
  advance(now);
  if (arrived_.empty())
    return std::nullopt;
  return arrived_.pop();
}

std::optional<clock::instant> emulated_link::next() const {
  if (!arrived_.empty())
    return clock::instant::min();
  std::optional<clock::instant> out;
  // What leaves only then arrives no earlier than after the latency.
  if (leaving_)
    out = leaving_->at + model_.latency;
  for (auto& x : lanes_)
    if (!x.air.empty())
      out = std::min(out.value_or(clock::instant::max()), x.air.front().at);
  return out;
}

std::vector<emulated_link::parcel> emulated_link::take_all() {
  std::vector<parcel> out;
  while (!arrived_.empty())
    out.push_back(arrived_.pop());
  for (size_t i = 0; i < num_lanes; ++i) {
    auto& x = lanes_[i];
    while (!x.air.empty())
      out.push_back(x.air.pop().what);
    if (leaving_ && lane_of(leaving_->what.header.kind) == lane(i))
      out.push_back(std::move(leaving_->what));
    while (!x.waiting.empty())
      out.push_back(x.waiting.pop());
    x.in_air = 0;
  }
  leaving_.reset();
  unsent_ = 0;
  return out;
}

/// Everything that happens until `now`, in its order.
void emulated_link::advance(clock::instant now) {
  for (;;) {
    auto* lane = next_arrival();
    auto is_leaving = leaving_
                      && (!lane || leaving_->at <= lane->air.front().at);
    if (!is_leaving && !lane)
      return;
    auto at = is_leaving ? leaving_->at : lane->air.front().at;
    if (at > now)
      return;
    if (!is_leaving) {
      auto x = lane->air.pop();
      lane->in_air -= x.what.size();
      arrived_.push(std::move(x.what));
    }
    leave(at);
  }
}

emulated_link::lane_state* emulated_link::next_arrival() {
  lane_state* out = nullptr;
  for (auto& x : lanes_)
    if (!x.air.empty() && (!out || x.air.front().at < out->air.front().at))
      out = &x;
  return out;
}

/// What has left is in the air, what may leave next begins to.
void emulated_link::leave(clock::instant now) {
  for (;;) {
    if (leaving_) {
      if (leaving_->at > now)
        return;
      auto x = std::move(leaving_->what);
      leaving_.reset();
      auto& to = lanes_[size_t(lane_of(x.header.kind))];
      unsent_ -= x.size();
      to.in_air += x.size();
      to.last = std::max(to.last, now + flight_time(model_, chance_));
      to.air.push({std::move(x), to.last});
    }
    auto which
      = next_lane([this](lane x) { return !lanes_[size_t(x)].waiting.empty(); },
                  [this](lane x) {
                    auto& l = lanes_[size_t(x)];
                    return has_room(model_, l.in_air, l.waiting.front().size());
                  });
    if (!which)
      return;
    auto x = lanes_[size_t(*which)].waiting.pop();
    auto end = now + transmission_time(x.size(), model_.bytes_per_second);
    leaving_ = departure{std::move(x), end};
  }
}

} // namespace troupe
