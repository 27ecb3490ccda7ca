#include "deploy/balance_record.hpp"

#include "deploy/end_signals.hpp"
#include "deploy/report.hpp"
#include "deploy/server_answer.hpp"
#include "runtime/clock.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>

namespace troupe {

namespace {

struct record_flags {
  server_flags server;
  uint32_t seconds = 0; ///< 0: since the start.
  std::string source = "recorded";
};

/// Throws json::exception where it is none.
balance::load_table parse_experts(std::string_view text) {
  balance::load_table out;
  auto answer = nlohmann::json::parse(text);
  for (auto& layer : answer.at("layers")) {
    auto index = layer.at("layer").get<uint32_t>();
    auto rows = layer.at("rows").get<std::vector<double>>();
    auto i = size_t(std::ranges::find(out.layers, index) - out.layers.begin());
    if (i == out.layers.size()) {
      out.layers.push_back(index);
      out.loads.emplace_back(rows.size());
    }
    for (size_t e = 0; e < rows.size(); ++e) // of another unit
      out.loads[i].at(e) += rows[e];
    out.num_experts = static_cast<uint32_t>(rows.size());
  }
  return out;
}

result<balance::load_table> record(const record_flags& flags) {
  auto server = find_server(flags.server);
  if (!server)
    return server.why();
  end_signals signals;
  system_clock time;
  auto ask = [&] { return ask_server(*server, "/cluster/experts", time); };
  std::string before;
  if (flags.seconds > 0) {
    auto first = ask();
    if (!first)
      return first.why();
    before = std::move(*first);
    signals.wait_for(std::chrono::seconds{flags.seconds});
  }
  auto answer = ask();
  if (!answer)
    return answer.why();
  return loads_between(before, *answer);
}

int run(const record_flags& flags) {
  if (flags.source.find_first_of(",\r\n") != flags.source.npos)
    return report(
      {errc::invalid_input, "--source has neither comma nor line break"});
  auto loads = record(flags);
  if (!loads)
    return report(loads.why());
  std::fputs(balance::to_csv(*loads, flags.source).c_str(), stdout);
  return 0;
}

} // namespace

result<balance::load_table> loads_between(std::string_view before,
                                          std::string_view after) try {
  auto out = parse_experts(after);
  if (out.layers.empty() || out.num_experts == 0)
    return failure{errc::invalid_input, "the server names no experts: it is "
                                        "starting"};
  if (before.empty())
    return out;
  auto was = parse_experts(before);
  if (was.layers != out.layers || was.num_experts != out.num_experts)
    return failure{errc::invalid_input, "another model answers by now"};
  for (size_t i = 0; i < out.loads.size(); ++i)
    for (size_t e = 0; e < out.loads[i].size(); ++e)
      out.loads[i][e] = std::max(0.0, out.loads[i][e] - was.loads[i].at(e));
  return out;
} catch (const std::exception&) {
  return failure{errc::invalid_input,
                 "the server's /cluster/experts is not Troupe's"};
}

void add_balance_record(CLI::App& balance, int& status) {
  auto flags = std::make_shared<record_flags>();
  auto command = balance.add_subcommand(
    "record", "Writes what the experts of a running company were asked, as a "
              "file of loads (CSV)");
  flags->server.add_to(*command);
  command
    ->add_option("--seconds", flags->seconds,
                 "Only what comes within so long from now on (default: all "
                 "since the start)")
    ->check(CLI::Range(1u, 86'400u));
  command->add_option("--source", flags->source, "Its name in the file")
    ->capture_default_str();
  command->callback([flags, &status] { status = run(*flags); });
}

} // namespace troupe
