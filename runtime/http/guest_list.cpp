#include "runtime/http/guest_list.hpp"

#include <algorithm>
#include <utility>

namespace troupe::http {

namespace {

admission full(size_t limit) {
  return {false, "as many connections are open as may be ("
                   + std::to_string(limit) + ")"};
}

admission too_many(const std::string& origin, size_t limit) {
  return {false, origin
                   + " has as many connections open as an address may have ("
                   + std::to_string(limit) + ")"};
}

} // namespace

guest_list::guest_list(guest_limits limits) : limits_(std::move(limits)) {
}

admission guest_list::arrive(const ip_bytes& from) {
  if (here_ >= room())
    return full(limits_.total);
  if (!is_exempt(from)) {
    auto origin = origin_of(from);
    auto& guest = guests_[origin];
    if (guest.here >= limits_.per_client + limits_.surplus_per_client)
      return too_many(origin, limits_.per_client);
    ++guest.here;
  }
  ++here_;
  return {};
}

admission guest_list::enter(const ip_bytes& from) {
  if (size_ >= limits_.total)
    return full(limits_.total);
  if (!is_exempt(from)) {
    auto origin = origin_of(from);
    auto& guest = guests_[origin];
    if (guest.count >= limits_.per_client)
      return too_many(origin, limits_.per_client);
    ++guest.count;
  }
  ++size_;
  return {};
}

bool guest_list::turn_away(const ip_bytes& from) {
  if (size_ >= limits_.total || here_ >= room())
    return !std::exchange(told_, true);
  auto known = guests_.find(origin_of(from));
  return known == guests_.end() || !std::exchange(known->second.told, true);
}

void guest_list::leave(const ip_bytes& from) {
  --size_;
  see_room();
  if (is_exempt(from))
    return;
  auto known = guests_.find(origin_of(from));
  --known->second.count;
  forget(known);
}

void guest_list::depart(const ip_bytes& from) {
  --here_;
  see_room();
  if (is_exempt(from))
    return;
  auto known = guests_.find(origin_of(from));
  --known->second.here;
  forget(known);
}

size_t guest_list::room() const {
  return limits_.total + limits_.surplus;
}

void guest_list::see_room() {
  if (size_ <= limits_.total / 2 && here_ <= room() / 2)
    told_ = false;
}

void guest_list::forget(guests::iterator who) {
  if (who->second.count == 0 && who->second.here == 0)
    guests_.erase(who);
}

bool guest_list::is_exempt(const ip_bytes& from) const {
  return std::ranges::any_of(limits_.exempt,
                             [&](auto& x) { return x.contains(from); });
}

} // namespace troupe::http
