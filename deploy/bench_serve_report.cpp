#include "deploy/bench_serve_report.hpp"

#include "runtime/formatted.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>

namespace troupe {

namespace {

using bench::distribution;
using nlohmann::ordered_json;

std::string row(const char* name, double value, const char* pattern) {
  char number[64];
  std::snprintf(number, sizeof(number), pattern, value);
  return formatted("%-34s %14s\n", name, number);
}

std::string spread(const char* name, const distribution& x) {
  if (x.count == 0)
    return formatted("%-24s %9s\n", name, "-");
  return formatted("%-24s %9.2f %9.2f %9.2f %9.2f %9.2f\n", name, x.mean * 1e3,
                   x.p50 * 1e3, x.p90 * 1e3, x.p99 * 1e3, x.most * 1e3);
}

void add(ordered_json& to, const std::string& name, const distribution& x) {
  to["mean_" + name] = x.mean * 1e3;
  to["median_" + name] = x.p50 * 1e3;
  to["std_" + name] = x.deviation * 1e3;
  to["p50_" + name] = x.p50 * 1e3;
  to["p90_" + name] = x.p90 * 1e3;
  to["p95_" + name] = x.p95 * 1e3;
  to["p99_" + name] = x.p99 * 1e3;
  to["max_" + name] = x.most * 1e3;
}

std::string notes(const serve_bench_setting& how,
                  const bench::load_summary& x) {
  std::string out;
  for (auto& [kind, some] : x.errors)
    out += formatted("failed, %s: %zu, e.g. %s\n", kind.c_str(), some.count,
                     some.example.substr(0, 300).c_str());
  auto late = std::max(x.late_sends.p99, x.late_loop.p99);
  if (late > too_late)
    out += formatted(
      "The client itself was late, by up to %.1f ms at the 99th "
      "percentile: figures are worse than the server by up to that.\n",
      late * 1e3);
  if (x.uncounted > 0)
    out += formatted(
      "The server did not say how many tokens %zu requests had: of "
      "those, pieces count as tokens and prompts as planned.\n",
      x.uncounted);
  if (how.num_shortened > 0)
    out
      += formatted("%zu requests of the trace were shortened to the limits.\n",
                   how.num_shortened);
  return out;
}

} // namespace

std::string serve_bench_table(const serve_bench_setting& how,
                              const bench::load_summary& x) {
  auto out = how.url + ", model " + how.model + "\n";
  out += row("Successful requests", double(x.completed), "%.0f");
  out += row("Failed requests", double(x.failed), "%.0f");
  out += row("Benchmark duration (s)", x.duration, "%.2f");
  out += row("Total input tokens", double(x.prompt_tokens), "%.0f");
  out += row("Total generated tokens", double(x.output_tokens), "%.0f");
  out += row("Request throughput (req/s)", x.per_second(double(x.completed)),
             "%.2f");
  if (!how.goodput.empty())
    out += row("Request goodput (req/s)", x.per_second(double(x.good)), "%.2f");
  out += row("Output token throughput (tok/s)",
             x.per_second(double(x.output_tokens)), "%.2f");
  out += row("Total token throughput (tok/s)",
             x.per_second(double(x.output_tokens + x.prompt_tokens)), "%.2f");
  out += row("Peak concurrent requests", double(x.most_running), "%.0f");
  if (x.pieces > 0)
    out += row("Tokens per piece", double(x.output_tokens) / double(x.pieces),
               "%.2f");
  out += formatted("%-24s %9s %9s %9s %9s %9s\n", "ms", "mean", "p50", "p90",
                   "p99", "max");
  out += spread("Time to first token", x.ttft);
  out += spread("Time per output token", x.tpot);
  out += spread("Inter-token latency", x.itl);
  out += spread("Request latency", x.e2el);
  out += spread("Client: sent late by", x.late_sends);
  out += spread("Client: loop late by", x.late_loop);
  return out + notes(how, x);
}

std::string serve_bench_json(const serve_bench_setting& how,
                             const bench::load_summary& x) {
  ordered_json out{{"url", how.url},
                   {"model_id", how.model},
                   {"max_concurrency", how.max_concurrency},
                   {"seed", how.seed}};
  if (std::isinf(how.request_rate))
    out["request_rate"] = "inf";
  else
    out["request_rate"] = how.request_rate;
  if (!how.trace.empty())
    out["trace"] = how.trace;
  out["num_shortened"] = how.num_shortened;
  out["duration"] = x.duration;
  out["completed"] = x.completed;
  out["failed"] = x.failed;
  out["errors"] = ordered_json::object();
  for (auto& [kind, some] : x.errors)
    out["errors"][kind] = {{"count", some.count}, {"example", some.example}};
  out["total_input_tokens"] = x.prompt_tokens;
  out["total_output_tokens"] = x.output_tokens;
  out["num_pieces"] = x.pieces;
  out["num_uncounted"] = x.uncounted;
  out["request_throughput"] = x.per_second(double(x.completed));
  if (!how.goodput.empty()) {
    out["goodput_limits"] = how.goodput;
    out["request_goodput"] = x.per_second(double(x.good));
  }
  out["output_throughput"] = x.per_second(double(x.output_tokens));
  out["total_token_throughput"]
    = x.per_second(double(x.output_tokens + x.prompt_tokens));
  out["max_concurrent_requests"] = x.most_running;
  add(out, "ttft_ms", x.ttft);
  add(out, "tpot_ms", x.tpot);
  add(out, "itl_ms", x.itl);
  add(out, "e2el_ms", x.e2el);
  add(out, "client_send_lag_ms", x.late_sends);
  add(out, "client_loop_lag_ms", x.late_loop);
  return out.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

} // namespace troupe
