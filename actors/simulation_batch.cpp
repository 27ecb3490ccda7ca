#include "actors/simulation_batch.hpp"

#include "kernels/host/thread_pool.hpp"

#include <algorithm>
#include <mutex>

namespace troupe {

namespace {

/// Shorter than this a run leaves faults no time.
constexpr virtual_duration least_length = std::chrono::milliseconds{20};

/// Where most of what can be disturbed passes: between ranks and workers, then
/// between ranks and the gateway.
std::vector<std::pair<node_id, node_id>> busy_links(const topology& cluster) {
  std::vector<std::pair<node_id, node_id>> out;
  auto& nodes = cluster.nodes;
  for (node_id a = 0; a < nodes.size(); ++a)
    for (node_id b = 0; b < nodes.size(); ++b) {
      auto has_rows = !nodes[a].ranks.empty() && !nodes[b].workers.empty();
      auto has_tokens = nodes[a].gateway && !nodes[b].ranks.empty();
      if (a != b && (has_rows || has_tokens))
        out.emplace_back(a, b);
    }
  return out;
}
/// A step that waits for longer is not waited for by a run.
constexpr std::chrono::seconds longest_step{10};

run_facts facts_of(const topology& cluster, const simulation_options& base) {
  run_facts out;
  for (auto& node : cluster.nodes)
    out.nodes.push_back(node.name);
  auto later = cluster.later_nodes();
  out.later = {later.begin(), later.end()};
  out.links = busy_links(cluster);
  out.num_requests = uint32_t(base.what.load.requests.size());
  out.patience = base.company.transports.silence_verdict;
  std::chrono::milliseconds step{cluster.limits.step_timeout_ms};
  if (step <= longest_step)
    out.step_patience = step;
  out.length = least_length;
  return out;
}

/// A sentence of the same kind: numbers differ from case to case.
std::string without_numbers(std::string x) {
  std::erase_if(x, [](char c) { return c >= '0' && c <= '9'; });
  return x;
}

/// How long a fault lasts is no part of it.
std::string without_length(const std::string& what) {
  return without_numbers(what.substr(0, what.find(" for ")));
}

/// What went wrong, so that a smaller case can be seen to fail alike.
struct complaint {
  std::optional<uint32_t> invariant; ///< Nothing: a fault did not happen.
  std::string what; ///< The sentence, or the fault; without numbers.
  fault_outcome outcome = fault_outcome::happened;

  bool is_in(const simulation_result& x) const {
    if (invariant)
      return std::ranges::any_of(x.violations, [&](auto& v) {
        return v.invariant == *invariant && without_numbers(v.what) == what;
      });
    return std::ranges::any_of(x.faults, [&](auto& f) {
      return f.fails() && f.outcome == outcome
             && without_length(f.what) == what;
    });
  }
};

complaint complaint_of(const simulation_result& x) {
  if (!x.violations.empty())
    return {x.violations[0].invariant, without_numbers(x.violations[0].what)};
  for (auto& f : x.faults)
    if (f.fails())
      return {{}, without_length(f.what), f.outcome};
  return {};
}

/// Of random faults: their times follow from a run of this seed.
constexpr uint64_t calm_seed = 0;

} // namespace

simulation_batch::simulation_batch(simulation_batch_options options)
  : options_(std::move(options)),
    facts_(facts_of(options_.base.company.cluster, options_.base)) {
  if (!options_.random_faults)
    return;
  auto calm = options_.base.what;
  calm.faults.clear();
  auto seen = run(calm_seed, calm);
  facts_.length = std::max(seen.busy, least_length);
  facts_.events_before = seen.events_before;
  for (size_t i = 0; i < num_trace_kinds; ++i)
    facts_.events[i] = seen.events_in_trouble[i] - seen.events_before[i];
  if (!seen.holds())
    calm_failure_ = std::move(seen);
}

sim_case simulation_batch::case_of(uint64_t seed) const {
  auto out = options_.base.what;
  auto facts = facts_;
  facts.breaks_the_start = breaks_the_start(seed);
  facts.moves_experts
    = std::ranges::any_of(options_.base.company.cluster.all_units(),
                          [](auto& x) { return x.spare_expert_slots > 0; });
  out.faults = draw_targets(std::move(out.faults), seed, facts);
  if (options_.random_faults)
    for (auto& x : random_faults(seed, facts))
      out.faults.push_back(std::move(x));
  return out;
}

bool simulation_batch::breaks_the_start(uint64_t seed) const {
  return options_.base.break_the_start
         || (options_.random_faults && seed % 4 == 3);
}

simulation_result simulation_batch::run(uint64_t seed, const sim_case& what,
                                        trace::observer on_entry) const {
  auto name = "seed " + std::to_string(seed);
  check_context where{name.c_str()};
  auto one = options_.base;
  one.what = what;
  one.break_the_start = breaks_the_start(seed);
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

sim_case simulation_batch::shrink(
  const simulation_result& failed, uint32_t max_runs,
  const std::function<void(uint32_t runs)>& progress) const {
  auto wanted = complaint_of(failed);
  uint32_t runs = 0;
  shrinker smaller{[&](const sim_case& x) {
                     if (progress)
                       progress(++runs);
                     return wanted.is_in(run(failed.seed, x));
                   },
                   max_runs};
  return smaller.shrink(case_of(failed.seed));
}

} // namespace troupe
