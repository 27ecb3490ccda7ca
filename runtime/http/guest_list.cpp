#include "runtime/http/guest_list.hpp"

#include <algorithm>
#include <utility>

namespace troupe::http {

guest_list::guest_list(guest_limits limits) : limits_(std::move(limits)) {
}

admission guest_list::enter(const ip_bytes& from) {
  if (size_ >= limits_.total)
    return {false, "as many connections are open as may be ("
                     + std::to_string(limits_.total) + ")"};
  if (!is_exempt(from)) {
    auto origin = origin_of(from);
    auto& guest = guests_[origin];
    if (guest.count >= limits_.per_client)
      return {false,
              origin + " has as many connections open as an address may have ("
                + std::to_string(limits_.per_client) + ")"};
    ++guest.count;
  }
  ++size_;
  return {};
}

bool guest_list::turn_away(const ip_bytes& from) {
  if (size_ >= limits_.total)
    return !std::exchange(told_, true);
  auto known = guests_.find(origin_of(from));
  return known == guests_.end() || !std::exchange(known->second.told, true);
}

void guest_list::leave(const ip_bytes& from) {
  --size_;
  if (size_ <= limits_.total / 2)
    told_ = false;
  if (is_exempt(from))
    return;
  auto known = guests_.find(origin_of(from));
  if (--known->second.count == 0)
    guests_.erase(known);
}

bool guest_list::is_exempt(const ip_bytes& from) const {
  return std::ranges::any_of(limits_.exempt,
                             [&](auto& x) { return x.contains(from); });
}

} // namespace troupe::http
