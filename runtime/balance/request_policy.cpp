#include "runtime/balance/request_policy.hpp"

#include <algorithm>
#include <set>

namespace troupe::balance {

std::string complaint_of(std::span<const request_move> plan,
                         std::span<const decode_rank> ranks,
                         std::span<const decode_request> requests) {
  std::set<uint64_t> seen;
  for (auto& x : plan) {
    auto who = "request " + std::to_string(x.id);
    auto has_id = [&](auto& y) { return y.id == x.id; };
    auto of = std::ranges::find_if(requests, has_id);
    if (of == requests.end() || of->rank != x.from)
      return who + " cannot move from there";
    if (!seen.insert(x.id).second)
      return who + " is to move twice";
    if (x.to >= ranks.size() || x.to == x.from)
      return who + " is to move to a rank that is none or its own";
  }
  return {};
}

} // namespace troupe::balance
