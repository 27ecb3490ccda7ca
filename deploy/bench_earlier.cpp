#include "deploy/bench_earlier.hpp"

#include "deploy/bench_cases.hpp"
#include "runtime/formatted.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace troupe {

namespace {

using nlohmann::ordered_json;

bench_case case_of(const ordered_json& x) {
  bench_case out;
  if (x.contains("prompt")) {
    out.prompt = x["prompt"].get<uint32_t>();
    out.batch = x.value("prompts", 1u);
    return out;
  }
  out.depth = x.at("depth").get<uint32_t>();
  out.batch = x.at("batch").get<uint32_t>();
  out.lane_batch = x.value("lane_batch", 0u);
  return out;
}

bench_rate rate_of(const ordered_json& series, const bench_case& where,
                   const std::string& who) {
  // As tokens of a run of one second: only ratios of seconds are needed.
  bench_series times;
  for (auto& rate : series.at("rounds"))
    times.seconds.push_back(1 / rate.get<double>());
  if (times.seconds.empty())
    throw ordered_json::other_error::create(501, "no rounds", &series);
  return {where.name(), who, 1 / times.tenth_seconds(),
          1 / times.median_seconds()};
}

void read_case(const ordered_json& x, std::vector<bench_rate>& out) {
  auto where = case_of(x);
  for (auto who : {"actors", "plain"})
    if (x.contains(who))
      out.push_back(rate_of(x[who], where, who));
  if (!x.contains("companies"))
    return;
  for (auto& each : x["companies"])
    out.push_back(rate_of(each, where, each.at("company").get<std::string>()));
}

std::string differences(const bench_record& now, const bench_record& earlier) {
  std::string out;
  for (auto& [what, value] : now.setting)
    for (auto& [other, before] : earlier.setting)
      if (what == other && value != before)
        out += "other " + what + ": " + before + " then, " + value + " now\n";
  return out;
}

double times(const bench_ratio& x) {
  return x.now.best / x.earlier.best;
}

} // namespace

result<bench_record> read_bench_record(const std::string& text) {
  bench_record out;
  try {
    auto all = ordered_json::parse(text);
    for (auto what : {"model", "target", "activations"})
      out.setting.emplace_back(what, all.at(what).get<std::string>());
    out.setting.emplace_back("threads",
                             std::to_string(all.at("threads").get<uint64_t>()));
    out.read_bytes
      = all.at("machine").at("read_bytes_per_second").get<double>();
    for (auto kind : {"prefill", "decode"})
      for (auto& x : all.at(kind))
        read_case(x, out.rates);
  } catch (const ordered_json::exception&) {
    return failure{errc::invalid_input,
                   "this is not what troupe bench model --json prints"};
  }
  return out;
}

std::vector<bench_ratio> ratios_of(const bench_record& now,
                                   const bench_record& earlier) {
  std::vector<bench_ratio> out;
  std::vector<bool> used(earlier.rates.size());
  for (auto& x : now.rates)
    for (size_t i = 0; i < earlier.rates.size(); ++i) {
      auto& before = earlier.rates[i];
      // A company may be there twice: the first of then is the first of now.
      if (used[i] || before.where != x.where || before.who != x.who)
        continue;
      used[i] = true;
      out.push_back({before, x});
      break;
    }
  return out;
}

std::string ratios_table(const bench_record& now, const bench_record& earlier) {
  auto out = "\nbeside the earlier run\n" + differences(now, earlier);
  out += formatted("memory: %.1f GB/s then, %.1f now\n",
                   earlier.read_bytes * 1e-9, now.read_bytes * 1e-9);
  auto all = ratios_of(now, earlier);
  if (all.empty())
    return out + "none of these cases was in it\n";
  out += formatted("%-30s %-12s | %9s %9s %7s | %9s %9s %7s\n", "", "",
                   "tenth p.", "now", "times", "median", "now", "times");
  for (auto& x : all)
    out += formatted("%-30s %-12s | %9.1f %9.1f %7.3f | %9.1f %9.1f %7.3f\n",
                     x.now.where.c_str(), x.now.who.c_str(), x.earlier.best,
                     x.now.best, times(x), x.earlier.middle, x.now.middle,
                     x.now.middle / x.earlier.middle);
  return out;
}

std::string with_ratios(const std::string& run, const bench_record& now,
                        const bench_record& earlier) {
  auto out = ordered_json::parse(run);
  out["earlier"] = ordered_json::array();
  for (auto& x : ratios_of(now, earlier))
    out["earlier"].push_back(
      {{"case", x.now.where},
       {"engine", x.now.who},
       {"tenth_percentile", x.earlier.best},
       {"tokens_per_second", x.earlier.middle},
       {"times", times(x)},
       {"times_median", x.now.middle / x.earlier.middle}});
  return out.dump(2) + "\n";
}

} // namespace troupe
