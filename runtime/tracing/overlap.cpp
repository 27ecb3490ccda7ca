#include "runtime/tracing/overlap.hpp"

#include "runtime/as_seconds.hpp"
#include "runtime/tracing/flights.hpp"
#include "runtime/tracing/interval_set.hpp"

#include <algorithm>
#include <cstdio>
#include <map>

namespace troupe {

namespace {

using intervals = std::vector<interval_set::interval>;

/// Lanes of a rank, as numbers of tracks have it.
constexpr uint32_t lanes_per_rank = 4;

struct rank_times {
  node_id node = 0;
  uint64_t num_steps = 0;
  intervals out;
  intervals busy;
  intervals communication;
};

struct sorted {
  std::map<uint32_t, rank_times> ranks;
  std::map<node_id, intervals> experts; ///< By node.
  std::vector<worker_overlap> workers;
};

void sort_lane(const node_spans& node, const track_spans& track, sorted& to) {
  auto& rank = to.ranks[track.number / lanes_per_rank];
  rank.node = node.node;
  for (auto& x : track.spans)
    if (x.what == span_kind::step) {
      ++rank.num_steps;
      rank.out.push_back({x.begin, x.end});
    }
}

void sort_stream(const track_spans& track, sorted& to) {
  for (auto& x : track.spans)
    to.ranks[track.number].busy.push_back({x.begin, x.end});
}

void sort_worker(const node_spans& node, const track_spans& track, sorted& to) {
  worker_overlap out;
  out.worker = track.number;
  out.node = node.node;
  intervals busy;
  for (auto& x : track.spans)
    if (x.what == span_kind::run) {
      ++out.num_runs;
      out.num_pairs += x.amount;
      busy.push_back({x.begin, x.end});
    }
  if (busy.empty())
    return;
  auto& all = to.experts[node.node];
  all.insert(all.end(), busy.begin(), busy.end());
  interval_set runs{std::move(busy)}; // without those that took no time
  out.busy = runs.length();
  if (!runs.all().empty())
    out.length = runs.all().back().end - runs.all().front().begin;
  to.workers.push_back(out);
}

sorted sort_all(const std::vector<node_spans>& all) {
  sorted out;
  for (auto& node : all)
    for (auto& track : node.tracks)
      switch (track.kind) {
        case track_kind::lane:
          sort_lane(node, track, out);
          break;
        case track_kind::compute:
        case track_kind::copies:
          sort_stream(track, out);
          break;
        case track_kind::worker:
          sort_worker(node, track, out);
          break;
        case track_kind::sent:
        case track_kind::arrived:
          break;
      }
  std::ranges::sort(out.workers, {}, &worker_overlap::worker);
  return out;
}

rank_overlap measure(uint32_t number, const rank_times& x,
                     const interval_set& experts) {
  rank_overlap out;
  out.rank = uint16_t(number);
  out.node = x.node;
  out.num_steps = x.num_steps;
  interval_set steps{x.out}, busy{x.busy}, communication{x.communication};
  busy = busy.intersected(steps);
  communication = communication.intersected(steps);
  out.out = steps.length();
  out.busy = busy.length();
  out.waiting = out.out - out.busy;
  out.experts = experts.intersected(steps).length();
  out.communication = communication.length();
  out.hidden = communication.intersected(busy.united(experts)).length();
  out.exposed = out.communication - out.hidden;
  return out;
}

std::string percent(clock::instant::duration part,
                    clock::instant::duration all) {
  char text[16];
  auto x = all.count() == 0 ? 0.0 : 100.0 * part.count() / all.count();
  std::snprintf(text, sizeof text, "%.1f %%", x);
  return text;
}

template <class... Ts>
std::string line(const char* format, Ts... xs) {
  char text[256];
  std::snprintf(text, sizeof text, format, xs...);
  return text;
}

} // namespace

std::vector<node_spans> whole_part(std::vector<node_spans> all) {
  auto from = clock::instant::min();
  for (auto& node : all)
    for (auto& x : node.tracks)
      if (x.num_missing > 0 && !x.spans.empty())
        from = std::max(from, x.spans.front().end);
  for (auto& node : all)
    for (auto& x : node.tracks)
      std::erase_if(x.spans, [&](auto& s) { return s.begin < from; });
  return all;
}

overlap_report measure_overlap(const std::vector<node_spans>& all) {
  auto times = sort_all(all);
  auto flights = match_flights(all);
  for (auto& x : flights.flights)
    if (auto i = times.ranks.find(x.of.rank); i != times.ranks.end())
      i->second.communication.push_back({x.sent, x.arrived});
  overlap_report out;
  for (auto& [number, x] : times.ranks)
    out.ranks.push_back(
      measure(number, x, interval_set{times.experts[x.node]}));
  out.workers = std::move(times.workers);
  out.num_unmatched = flights.num_unmatched;
  for (auto& node : all)
    for (auto& track : node.tracks)
      out.num_missing += track.num_missing;
  return out;
}

std::string to_string(const overlap_report& x) {
  auto out = line("%-6s %-5s %7s %9s %8s %8s %8s %14s %8s %8s\n", "rank",
                  "node", "steps", "out", "busy", "waiting", "experts",
                  "communication", "hidden", "exposed");
  for (auto& r : x.ranks)
    out += line(
      "%-6u %-5u %7llu %7.3f s %8s %8s %8s %14s %8s %8s\n", unsigned(r.rank),
      unsigned(r.node), static_cast<unsigned long long>(r.num_steps),
      as_seconds(r.out), percent(r.busy, r.out).c_str(),
      percent(r.waiting, r.out).c_str(), percent(r.experts, r.out).c_str(),
      percent(r.communication, r.out).c_str(),
      percent(r.hidden, r.communication).c_str(),
      percent(r.exposed, r.communication).c_str());
  out += line("%-6s %-5s %7s %9s %8s %8s\n", "worker", "node", "runs", "from",
              "busy", "pairs");
  for (auto& w : x.workers)
    out += line("%-6u %-5u %7llu %7.3f s %8s %8.1f\n", w.worker,
                unsigned(w.node), static_cast<unsigned long long>(w.num_runs),
                as_seconds(w.length), percent(w.busy, w.length).c_str(),
                double(w.num_pairs) / double(w.num_runs));
  if (x.num_missing > 0)
    out += line("%llu older spans are missing: there was no room for them\n",
                static_cast<unsigned long long>(x.num_missing));
  if (x.num_unmatched > 0)
    out += line("%llu frames of rows left out: one end was not recorded\n",
                static_cast<unsigned long long>(x.num_unmatched));
  return out;
}

} // namespace troupe
