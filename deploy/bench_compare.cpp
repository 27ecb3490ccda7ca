#include "deploy/bench_compare.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// The case in which a company did what `x` is compared with, and how.
struct found_series {
  const bench_case* where = nullptr;
  const bench_series* what = nullptr;
};

found_series beside(const bench_report& all, const bench_case& x,
                    size_t company) {
  if (auto here = x.of(company))
    return {&x, here};
  for (auto& other : all.cases)
    if (x.lane_batch > 0 && other.lane_batch == x.lane_batch
        && other.depth == x.depth)
      if (auto there = other.of(company))
        return {&other, there};
  return {};
}

/// Of rows, to whatever node takes longest; seconds, one way.
double emulated_latency(const bench_company& x) {
  std::chrono::duration<double> out{};
  for (auto& link : x.flags.links)
    if (is_about(link.which, lane::rows))
      out = std::max<std::chrono::duration<double>>(out, link.model.latency
                                                           + link.model.jitter);
  return out.count();
}

} // namespace

double best_rate(const bench_case& x, const bench_series& series) {
  return x.tokens / series.tenth_seconds();
}

double gain(const bench_report& all, const bench_case& x,
            const bench_series& series) {
  auto first = beside(all, x, 0);
  return best_rate(x, series) / best_rate(*first.where, *first.what);
}

std::optional<double> allowed_rate(const bench_report& all, const bench_case& x,
                                   const bench_series& series) {
  auto bound = std::find_if(all.companies.begin(), all.companies.end(),
                            [](auto& company) { return company.is_bound; });
  auto& who = all.companies[series.company];
  if (bound == all.companies.end() || who.is_bound)
    return std::nullopt;
  auto with = beside(all, x, size_t(bound - all.companies.begin()));
  auto of_all = with.what->tenth_seconds() / with.where->steps;
  double k = x.lane_batch > 0 ? who.lanes : who.most_lanes;
  auto of_one = of_all / k;
  if (x.lane_batch > 0) {
    of_one = of_all; // the bound's only lane
    of_all *= k;
  }
  auto away = 2 * emulated_latency(who) * all.num_moe_layers;
  return x.tokens / (x.steps * std::max(away + of_one, of_all));
}

} // namespace troupe
