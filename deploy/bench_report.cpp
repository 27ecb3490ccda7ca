#include "deploy/bench_report.hpp"

#include "deploy/bench_compare.hpp"
#include "runtime/cost/rates_table.hpp"
#include "runtime/formatted.hpp"

#include <nlohmann/json.hpp>

namespace troupe {

namespace {

using nlohmann::ordered_json;

/// What the actors add to a step.
struct added_time {
  double percent = 0;
  double us_per_moe_layer = 0;
};

added_time added_by_actors(const bench_case& x, uint32_t num_moe_layers) {
  auto actors = x.actors.front().median_seconds();
  auto plain = x.plain.median_seconds();
  added_time out;
  out.percent = 100 * (actors / plain - 1);
  if (num_moe_layers > 0)
    out.us_per_moe_layer = (actors - plain) / x.steps / num_moe_layers * 1e6;
  return out;
}

ordered_json series_json(const bench_case& x, const bench_series& series) {
  auto rates = ordered_json::array();
  for (auto seconds : series.seconds)
    rates.push_back(x.tokens / seconds);
  return {{"tokens_per_second", x.tokens / series.median_seconds()},
          {"roofline_percent", series.roofline_percent()},
          {"rounds", std::move(rates)}};
}

ordered_json company_json(const bench_report& all, const bench_case& x,
                          const bench_series& series) {
  ordered_json out{{"company", all.companies[series.company].name()}};
  out.update(series_json(x, series));
  out["tenth_percentile"] = best_rate(x, series);
  out["times_first"] = gain(all, x, series);
  if (auto allowed = allowed_rate(all, x, series)) {
    out["allowed"] = *allowed;
    out["allowed_percent"] = 100 * best_rate(x, series) / *allowed;
  }
  return out;
}

ordered_json case_json(const bench_report& all, const bench_case& x) {
  ordered_json out;
  if (x.is_prefill()) {
    out["prompt"] = x.prompt;
    if (x.batch > 1)
      out["prompts"] = x.batch;
  } else {
    out["depth"] = x.depth;
    out["batch"] = x.batch;
    if (x.lane_batch > 0)
      out["lane_batch"] = x.lane_batch;
    out["steps"] = x.steps;
  }
  out["bytes_per_token"] = x.work.bytes() / x.tokens;
  out["flops_per_token"] = x.work.flops / x.tokens;
  out["cache_bytes_per_token"] = x.work.cache_bytes / x.tokens;
  out["expected_experts"] = x.work.experts / x.steps;
  out["limit"] = x.memory_bound ? "memory" : "arithmetic";
  if (all.options.compares()) {
    out["companies"] = ordered_json::array();
    for (auto& series : x.actors)
      out["companies"].push_back(company_json(all, x, series));
  } else {
    out["actors"] = series_json(x, x.actors.front());
  }
  if (!x.plain.seconds.empty())
    out["plain"] = series_json(x, x.plain);
  if (!x.plain.seconds.empty() && !all.options.compares()) {
    auto added = added_by_actors(x, all.num_moe_layers);
    out["added_by_actors"] = {{"percent", added.percent},
                              {"us_per_moe_layer", added.us_per_moe_layer}};
  }
  return out;
}

bool is_one_process(const bench_report& x) {
  return x.cluster.nodes.size() == 1 && !x.options.compares();
}

ordered_json cluster_json(const bench_report& x) {
  ordered_json out{{"nodes", x.cluster.nodes.size()},
                   {"ranks", x.cluster.num_ranks()},
                   {"workers", x.cluster.num_workers()},
                   {"links", ordered_json::array()},
                   {"companies", ordered_json::array()}};
  for (auto& link : x.options.cluster.links)
    out["links"].push_back(render(link));
  for (auto& company : x.companies)
    out["companies"].push_back(
      {{"company", company.name()},
       {"max_num_seqs", *company.flags.max_num_seqs},
       {"max_num_batched_tokens", *company.flags.max_num_batched_tokens}});
  return out;
}

std::string cluster_lines(const bench_report& x) {
  auto out = formatted("%zu nodes, %u ranks, %u workers\n",
                       x.cluster.nodes.size(), x.cluster.num_ranks(),
                       x.cluster.num_workers());
  for (auto& link : x.options.cluster.links)
    out += "emulated links: " + render(link) + "\n";
  return out;
}

ordered_json load_json(const bench_load& x) {
  return {{"seconds", x.seconds},
          {"bytes", x.bytes},
          {"bytes_per_second", double(x.bytes) / x.seconds},
          {"peak_bytes", x.peak_bytes},
          {"peak_per_weights", double(x.peak_bytes) / double(x.bytes)}};
}

std::string load_line(const bench_load& x) {
  return formatted(
    "loaded %.2f GB in %.2f s (%.2f GB/s), with at most %.2f times "
    "as much memory\n",
    double(x.bytes) * 1e-9, x.seconds, double(x.bytes) / x.seconds * 1e-9,
    double(x.peak_bytes) / double(x.bytes));
}

ordered_json rates_json(const kernels::machine_rates& x) {
  ordered_json out{{"read_bytes_per_second", x.read_bytes}};
  if (x.fma_flops > 0)
    out["fp32_flops_per_second"] = x.fma_flops;
  if (x.dot_flops > 0)
    out["bf16_flops_per_second"] = x.dot_flops;
  return out;
}

std::string row(const bench_case& x, uint32_t num_moe_layers) {
  auto out = formatted("%-30s %9.2f %9.2f %-6s | %9.1f %6.1f", x.name().c_str(),
                       x.work.bytes() / x.tokens * 1e-6,
                       x.work.flops / x.tokens * 1e-6,
                       x.memory_bound ? "memory" : "arith.",
                       x.tokens / x.actors.front().median_seconds(),
                       x.actors.front().roofline_percent());
  if (x.plain.seconds.empty())
    return out + "\n";
  auto added = added_by_actors(x, num_moe_layers);
  return out
         + formatted(" | %9.1f %6.1f | %+6.1f %9.1f\n",
                     x.tokens / x.plain.median_seconds(),
                     x.plain.roofline_percent(), added.percent,
                     added.us_per_moe_layer);
}

constexpr auto compared_row = "%-30s %-12s | %9.1f %9.1f";

std::string compared_rows(const bench_report& all, const bench_case& x) {
  std::string out;
  auto name = x.name();
  for (auto& series : x.actors) {
    out += formatted(compared_row, name.c_str(),
                     all.companies[series.company].name().c_str(),
                     best_rate(x, series), x.tokens / series.median_seconds());
    out += formatted(" %7.3f", gain(all, x, series));
    if (auto allowed = allowed_rate(all, x, series))
      out += formatted(" | %9.1f %6.1f", *allowed,
                       100 * best_rate(x, series) / *allowed);
    out += "\n";
  }
  if (!x.plain.seconds.empty())
    out += formatted(compared_row, name.c_str(), "plain", best_rate(x, x.plain),
                     x.tokens / x.plain.median_seconds())
           + "\n";
  return out;
}

std::string compared_table(const bench_report& x) {
  std::string bound = x.options.with_bound ? " |   overlap   % of" : "";
  auto out = formatted("%-30s %-12s | %9s %9s %7s", "", "", "tokens/s",
                       "tokens/s", "times")
             + bound + "\n";
  bound = x.options.with_bound ? " |    allows     it" : "";
  out += formatted("%-30s %-12s | %9s %9s %7s", "", "", "tenth p.", "median",
                   "first")
         + bound + "\n";
  for (auto& c : x.cases)
    out += compared_rows(x, c);
  return out;
}

} // namespace

std::string machine_line(const kernels::machine_rates& x) {
  auto out = formatted("reads %.1f GB/s", x.read_bytes * 1e-9);
  if (x.fma_flops > 0)
    out += formatted(", FP32 %.0f GFLOP/s", x.fma_flops * 1e-9);
  if (x.dot_flops > 0)
    out += formatted(", BF16 %.0f GFLOP/s", x.dot_flops * 1e-9);
  return out + "\n";
}

namespace {

ordered_json stages_json(const stages_report& x) {
  auto out = ordered_json::object();
  for (auto& p : x.costs.parameters())
    out[p.of]["seconds_per"][p.per] = p.seconds;
  for (auto& [of, check] : x.checks) {
    out[of]["stages_seen"] = check.num_seen;
    out[of]["stages_checked"] = check.num_checked;
    out[of]["median_error"] = check.error;
  }
  return out;
}

ordered_json device_json(const stages_report& x) {
  auto rates = x.costs.rates();
  return {{"narrow_flops", rates.narrow_flops},
          {"wide_flops", rates.wide_flops},
          {"attention_flops", rates.attention_flops},
          {"bytes_per_second", rates.bytes_per_second},
          {"copied_per_second", rates.copied_per_second},
          {"per_kernel_seconds", rates.per_kernel},
          {"median_error", x.error_of_rates}};
}

} // namespace

std::string stages_table(const stages_report& x) {
  auto out = formatted("%-15s %-16s %12s   %s\n", "stage", "per", "us",
                       "median error in other shapes");
  std::string last;
  for (auto& p : x.costs.parameters()) {
    auto& check = x.checks.at(p.of);
    out += formatted("%-15s %-16s %12.5f", p.of.c_str(), p.per.c_str(),
                     p.seconds * 1e6);
    if (p.of != last)
      out += formatted("   %.1f %% (%zu stages)", 100 * check.error,
                       check.num_checked);
    out += '\n';
    last = p.of;
  }
  return out + "\n# for troupe simulate --machine\n[device]\n"
         + to_toml(x.costs.rates())
         + formatted("# median error in other shapes: %.1f %%\n",
                     100 * x.error_of_rates);
}

std::string machine_json(const kernels::machine_rates& x, uint32_t num_threads,
                         const stages_report* stages) {
  auto out = rates_json(x);
  out["threads"] = num_threads;
  if (stages) {
    out["stages"] = stages_json(*stages);
    out["device"] = device_json(*stages);
  }
  return out.dump(2) + "\n";
}

std::string bench_table(const bench_report& x) {
  auto& o = x.options;
  auto out = formatted("%s, %u threads, activations %s; medians of %u rounds\n",
                       x.target.c_str(), o.num_threads,
                       std::string{to_string(o.activations)}.c_str(), o.rounds);
  if (!is_one_process(x))
    out += cluster_lines(x) + machine_line(x.machine) + "\n";
  else
    out += load_line(x.load) + machine_line(x.machine) + "\n";
  if (o.compares())
    return out + compared_table(x);
  auto has_plain = o.with_plain;
  out += formatted("%-30s %9s %9s %-6s | %9s %6s", "", "MB/token", "MFLOP/",
                   "limit", "actors", "% of");
  out += has_plain ? formatted(" | %9s %6s | %6s %9s\n", "plain", "% of",
                               "actors", "us/MoE")
                   : "\n";
  out += formatted("%-30s %9s %9s %-6s | %9s %6s", "", "", "token", "",
                   "tokens/s", "limit");
  out += has_plain ? formatted(" | %9s %6s | %6s %9s\n", "tokens/s", "limit",
                               "add %", "layer")
                   : "\n";
  for (auto& c : x.cases)
    out += row(c, x.num_moe_layers);
  return out;
}

std::string bench_json(const bench_report& x) {
  auto& o = x.options;
  ordered_json out{{"model", x.cluster.model},
                   {"target", x.target},
                   {"threads", o.num_threads},
                   {"activations", std::string{to_string(o.activations)}},
                   {"rounds", o.rounds},
                   {"machine", rates_json(x.machine)},
                   {"load", load_json(x.load)},
                   {"prefill", ordered_json::array()},
                   {"decode", ordered_json::array()}};
  for (auto& c : x.cases)
    out[c.is_prefill() ? "prefill" : "decode"].push_back(case_json(x, c));
  if (!is_one_process(x))
    out["cluster"] = cluster_json(x);
  return out.dump(2) + "\n";
}

} // namespace troupe
