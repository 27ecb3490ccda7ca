#include "deploy/bench_report.hpp"

#include <nlohmann/json.hpp>

#include <cstdarg>
#include <cstdio>

namespace troupe {

namespace {

using json = nlohmann::ordered_json;

[[gnu::format(printf, 1, 2)]] std::string form(const char* pattern, ...) {
  char out[256];
  va_list args;
  va_start(args, pattern);
  std::vsnprintf(out, sizeof(out), pattern, args);
  va_end(args);
  return out;
}

/// What the actors add to a step.
struct added_time {
  double percent = 0;
  double us_per_moe_layer = 0;
};

added_time added_by_actors(const bench_case& x, uint32_t num_moe_layers) {
  auto actors = x.actors.median_seconds();
  auto plain = x.plain.median_seconds();
  added_time out;
  out.percent = 100 * (actors / plain - 1);
  if (num_moe_layers > 0)
    out.us_per_moe_layer = (actors - plain) / x.steps / num_moe_layers * 1e6;
  return out;
}

json series_json(const bench_case& x, const bench_series& series) {
  auto rates = json::array();
  for (auto seconds : series.seconds)
    rates.push_back(x.tokens / seconds);
  return {{"tokens_per_second", x.tokens / series.median_seconds()},
          {"roofline_percent", series.roofline_percent()},
          {"rounds", std::move(rates)}};
}

json case_json(const bench_case& x, uint32_t num_moe_layers) {
  json out;
  if (x.is_prefill())
    out["prompt"] = x.prompt;
  else {
    out["depth"] = x.depth;
    out["batch"] = x.batch;
    out["steps"] = x.steps;
  }
  out["bytes_per_token"] = x.work.bytes() / x.tokens;
  out["flops_per_token"] = x.work.flops / x.tokens;
  out["cache_bytes_per_token"] = x.work.cache_bytes / x.tokens;
  out["expected_experts"] = x.work.experts / x.steps;
  out["limit"] = x.memory_bound ? "memory" : "arithmetic";
  out["actors"] = series_json(x, x.actors);
  if (!x.plain.seconds.empty()) {
    auto added = added_by_actors(x, num_moe_layers);
    out["plain"] = series_json(x, x.plain);
    out["added_by_actors"] = {{"percent", added.percent},
                              {"us_per_moe_layer", added.us_per_moe_layer}};
  }
  return out;
}

json load_json(const bench_load& x) {
  return {{"seconds", x.seconds},
          {"bytes", x.bytes},
          {"bytes_per_second", double(x.bytes) / x.seconds},
          {"peak_bytes", x.peak_bytes},
          {"peak_per_weights", double(x.peak_bytes) / double(x.bytes)}};
}

std::string load_line(const bench_load& x) {
  return form("loaded %.2f GB in %.2f s (%.2f GB/s), with at most %.2f times "
              "as much memory\n",
              double(x.bytes) * 1e-9, x.seconds,
              double(x.bytes) / x.seconds * 1e-9,
              double(x.peak_bytes) / double(x.bytes));
}

json rates_json(const kernels::machine_rates& x) {
  json out{{"read_bytes_per_second", x.read_bytes}};
  if (x.fma_flops > 0)
    out["fp32_flops_per_second"] = x.fma_flops;
  if (x.dot_flops > 0)
    out["bf16_flops_per_second"] = x.dot_flops;
  return out;
}

std::string row(const bench_case& x, uint32_t num_moe_layers) {
  auto out
    = form("%-30s %9.2f %9.2f %-6s | %9.1f %6.1f", x.name().c_str(),
           x.work.bytes() / x.tokens * 1e-6, x.work.flops / x.tokens * 1e-6,
           x.memory_bound ? "memory" : "arith.",
           x.tokens / x.actors.median_seconds(), x.actors.roofline_percent());
  if (x.plain.seconds.empty())
    return out + "\n";
  auto added = added_by_actors(x, num_moe_layers);
  return out
         + form(" | %9.1f %6.1f | %+6.1f %9.1f\n",
                x.tokens / x.plain.median_seconds(), x.plain.roofline_percent(),
                added.percent, added.us_per_moe_layer);
}

} // namespace

std::string machine_line(const kernels::machine_rates& x) {
  auto out = form("reads %.1f GB/s", x.read_bytes * 1e-9);
  if (x.fma_flops > 0)
    out += form(", FP32 %.0f GFLOP/s", x.fma_flops * 1e-9);
  if (x.dot_flops > 0)
    out += form(", BF16 %.0f GFLOP/s", x.dot_flops * 1e-9);
  return out + "\n";
}

std::string machine_json(const kernels::machine_rates& x,
                         uint32_t num_threads) {
  auto out = rates_json(x);
  out["threads"] = num_threads;
  return out.dump(2) + "\n";
}

std::string bench_table(const bench_report& x) {
  auto& o = x.options;
  auto out = form("%s, %u threads, activations %s; medians of %u rounds\n",
                  x.target.c_str(), o.num_threads,
                  std::string{to_string(o.activations)}.c_str(), o.rounds);
  out += load_line(x.load) + machine_line(x.machine) + "\n";
  auto has_plain = o.with_plain;
  out += form("%-30s %9s %9s %-6s | %9s %6s", "", "MB/token", "MFLOP/", "limit",
              "actors", "% of");
  out += has_plain
           ? form(" | %9s %6s | %6s %9s\n", "plain", "% of", "actors", "us/MoE")
           : "\n";
  out += form("%-30s %9s %9s %-6s | %9s %6s", "", "", "token", "", "tokens/s",
              "limit");
  out += has_plain ? form(" | %9s %6s | %6s %9s\n", "tokens/s", "limit",
                          "add %", "layer")
                   : "\n";
  for (auto& c : x.cases)
    out += row(c, x.num_moe_layers);
  return out;
}

std::string bench_json(const bench_report& x) {
  auto& o = x.options;
  json out{{"model", o.model},
           {"target", x.target},
           {"threads", o.num_threads},
           {"activations", std::string{to_string(o.activations)}},
           {"rounds", o.rounds},
           {"machine", rates_json(x.machine)},
           {"load", load_json(x.load)},
           {"prefill", json::array()},
           {"decode", json::array()}};
  for (auto& c : x.cases)
    out[c.is_prefill() ? "prefill" : "decode"].push_back(
      case_json(c, x.num_moe_layers));
  return out.dump(2) + "\n";
}

} // namespace troupe
