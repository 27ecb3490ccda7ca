#include "runtime/bench/load_summary.hpp"

#include "runtime/as_seconds.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::bench {

namespace {

/// `x` is sorted and not empty.
double percentile(const std::vector<double>& x, double p) {
  auto place = p * double(x.size() - 1);
  auto below = size_t(place);
  auto above = std::min(below + 1, x.size() - 1);
  return x[below] + (x[above] - x[below]) * (place - double(below));
}

size_t most_at_once(const std::vector<call_record>& all) {
  std::vector<std::pair<nanoseconds, int>> events; // ends before begins
  for (auto& x : all) {
    events.emplace_back(x.sent, 1);
    events.emplace_back(std::max(x.end, x.sent), -1);
  }
  std::ranges::sort(events);
  int running = 0, most = 0;
  for (auto& [when, change] : events)
    most = std::max(most, running += change);
  return size_t(most);
}

} // namespace

distribution describe(std::vector<double> values) {
  distribution out;
  out.count = values.size();
  if (values.empty())
    return out;
  std::ranges::sort(values);
  double sum = 0, squares = 0;
  for (auto x : values)
    sum += x;
  out.mean = sum / double(out.count);
  for (auto x : values)
    squares += (x - out.mean) * (x - out.mean);
  out.deviation = std::sqrt(squares / double(out.count));
  out.p50 = percentile(values, 0.5);
  out.p90 = percentile(values, 0.9);
  out.p95 = percentile(values, 0.95);
  out.p99 = percentile(values, 0.99);
  out.most = values.back();
  return out;
}

load_summary summarise(const std::vector<call_record>& all,
                       const goodput_limits& limits,
                       const std::vector<float>& late_loop) {
  load_summary out;
  std::vector<double> ttft, tpot, itl, e2el, late;
  nanoseconds begin = nanoseconds::max(), end{0};
  for (auto& x : all) {
    begin = std::min(begin, x.intended);
    end = std::max(end, x.end);
    late.push_back(as_seconds(x.sent - x.due));
    if (!x.ok()) {
      auto& error = out.errors[x.error];
      ++error.count;
      ++out.failed;
      if (error.example.empty())
        error.example = x.why;
      continue;
    }
    ++out.completed;
    out.good += limits.met_by(x);
    out.prompt_tokens += x.prompt_tokens;
    out.output_tokens += x.output_tokens;
    out.pieces += x.num_pieces();
    out.uncounted += !x.is_counted;
    e2el.push_back(x.latency());
    if (x.first)
      ttft.push_back(x.first_after());
    if (auto time = x.per_token())
      tpot.push_back(*time);
    itl.insert(itl.end(), x.gaps.begin(), x.gaps.end());
  }
  out.duration = all.empty() ? 0 : as_seconds(end - begin);
  out.most_running = most_at_once(all);
  out.ttft = describe(std::move(ttft));
  out.tpot = describe(std::move(tpot));
  out.itl = describe(std::move(itl));
  out.e2el = describe(std::move(e2el));
  out.late_sends = describe(std::move(late));
  out.late_loop = describe({late_loop.begin(), late_loop.end()});
  return out;
}

} // namespace troupe::bench
