#include "runtime/tracing/flights.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace troupe {

namespace {

/// Which dispatch, or which answers to one, and between whom.
using course = std::tuple<bool, uint16_t, uint8_t, uint32_t, node_id, node_id>;

struct ends {
  std::vector<span> sent;
  std::vector<span> arrived;
};

void sort_in(const node_spans& node, std::map<course, ends>& by) {
  for (auto& track : node.tracks) {
    auto was_sent = track.kind == track_kind::sent;
    if (!was_sent && track.kind != track_kind::arrived)
      continue;
    for (auto& x : track.spans) {
      if (x.peer == node.node)
        continue;
      auto is_dispatch = x.what == span_kind::dispatch_sent
                         || x.what == span_kind::dispatch_arrived;
      auto& to
        = by[{is_dispatch, x.rank, x.lane, x.serial,
              was_sent ? node.node : x.peer, was_sent ? x.peer : node.node}];
      (was_sent ? to.sent : to.arrived).push_back(x);
    }
  }
}

} // namespace

all_flights match_flights(const std::vector<node_spans>& all) {
  std::map<course, ends> by;
  for (auto& node : all)
    sort_in(node, by);
  all_flights out;
  for (auto& [key, x] : by) {
    if (x.sent.size() != x.arrived.size()) {
      out.num_unmatched += x.sent.size() + x.arrived.size();
      continue;
    }
    for (size_t i = 0; i < x.sent.size(); ++i)
      out.flights.push_back({x.sent[i].end, x.arrived[i].end, std::get<4>(key),
                             std::get<5>(key), x.sent[i]});
  }
  std::ranges::sort(out.flights, {}, &flight::sent);
  return out;
}

} // namespace troupe
