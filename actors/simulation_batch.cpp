#include "actors/simulation_batch.hpp"

#include "kernels/host/thread_pool.hpp"

#include <algorithm>
#include <mutex>

namespace troupe {

namespace {

/// Shorter than this a run leaves faults no time.
constexpr virtual_duration least_length = std::chrono::milliseconds{100};

run_facts facts_of(const topology& cluster, const simulation_options& base) {
  run_facts out;
  for (auto& node : cluster.nodes)
    out.nodes.push_back(node.name);
  out.num_requests = uint32_t(base.what.load.requests.size());
  out.patience = base.company.transports.silence_verdict;
  out.length = least_length;
  return out;
}

/// Requests are told apart by what they ask.
bool asks_the_same(const client_request& a, const client_request& b) {
  return a.request.prompt == b.request.prompt
         && a.request.sampling.seed == b.request.sampling.seed
         && a.request.sampling.temperature == b.request.sampling.temperature
         && a.request.ignore_eos == b.request.ignore_eos;
}

} // namespace

simulation_batch::simulation_batch(simulation_batch_options options,
                                   uint64_t first_seed)
  : options_(std::move(options)),
    facts_(facts_of(options_.base.company.cluster, options_.base)) {
  if (!options_.random_faults)
    return;
  auto calm = options_.base.what;
  calm.faults.clear();
  auto seen = run(first_seed, calm);
  facts_.length = std::max(seen.length, least_length);
  facts_.events = seen.events;
}

sim_case simulation_batch::case_of(uint64_t seed) const {
  auto out = options_.base.what;
  out.faults = draw_targets(std::move(out.faults), seed, facts_);
  if (options_.random_faults)
    for (auto& x : random_faults(seed, facts_))
      out.faults.push_back(std::move(x));
  return out;
}

/// A smaller case has some of the requests, which may ask for less: the
/// beginning of what is known.
std::vector<expected_answer>
simulation_batch::expected_of(const sim_case& what) const {
  auto& all = options_.base.what.load.requests;
  auto& known = options_.base.expected;
  std::vector<expected_answer> out;
  if (known.empty())
    return out;
  for (auto& x : what.load.requests) {
    auto i = std::ranges::find_if(all,
                                  [&](auto& y) { return asks_the_same(x, y); });
    if (i == all.end())
      return {};
    auto answer = known[size_t(i - all.begin())];
    auto limit = x.request.max_tokens;
    if (limit > 0 && answer.tokens.size() > limit) {
      answer.tokens.resize(limit);
      answer.finish = finish_reason::length;
    }
    out.push_back(std::move(answer));
  }
  return out;
}

simulation_result simulation_batch::run(uint64_t seed, const sim_case& what,
                                        trace::observer on_entry) const {
  auto one = options_.base;
  one.what = what;
  one.expected = expected_of(what);
  one.on_entry = std::move(on_entry);
  if (options_.make_compute)
    one.company.compute = options_.make_compute();
  auto out = simulate(seed, one);
  if (!options_.twice)
    return out;
  one.on_entry = {};
  auto again = simulate(seed, one);
  if (auto other = compare_traces(out.trace_hash, again.trace_hash)) {
    out.violations.push_back(*other);
    ++out.num_violations;
  }
  return out;
}

void simulation_batch::run_all(
  uint64_t first, uint64_t count,
  const std::function<void(const simulation_result&)>& on_result) {
  kernels::thread_pool pool{options_.num_threads};
  std::mutex mutex;
  for (uint64_t done = 0; done < count;) {
    // Some at a time: neighbours go together, and results come in about order.
    auto now = uint32_t(std::min<uint64_t>(count - done, 64));
    pool.parallel_for(now, [&](uint32_t i) {
      auto seed = first + done + i;
      auto out = run(seed, case_of(seed));
      std::lock_guard guard{mutex};
      on_result(out);
    });
    done += now;
  }
}

sim_case simulation_batch::shrink(uint64_t seed, uint32_t max_runs) const {
  shrinker smaller{[&](const sim_case& x) { return !run(seed, x).holds(); },
                   max_runs};
  return smaller.shrink(case_of(seed));
}

} // namespace troupe
