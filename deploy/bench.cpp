#include "deploy/bench_earlier.hpp"
#include "deploy/bench_report.hpp"
#include "deploy/bench_serve.hpp"
#include "deploy/bench_transport.hpp"
#include "deploy/commands.hpp"
#include "deploy/device_flag.hpp"
#include "deploy/link_flags.hpp"
#include "deploy/report.hpp"
#include "deploy/running_company.hpp"
#include "kernels/check.hpp"
#include "runtime/checkpoint/regular_file.hpp"

#include <cstdio>
#include <memory>
#include <optional>

namespace troupe {

namespace {

struct bench_flags {
  bench_options options;
  uint32_t num_threads = 0; ///< Of the machine's probe.
  std::string model;        ///< Whose stages are measured, too; empty: none's.
  std::string earlier;      ///< A file of a run to compare with; empty: none.
  bool without_plain = false;
  bool json = false;
};

/// Files of cases by the thousand are smaller.
constexpr uint64_t max_record_bytes = 16 << 20;

result<bench_record> read_earlier(const std::string& path) {
  auto text = read_regular_file(path, max_record_bytes);
  if (!text)
    return text.why();
  auto out = read_bench_record(*text);
  if (!out)
    return failure{out.why().code, path + ": " + out.why().message};
  return out;
}

std::string show(const bench_report& found, bool as_json,
                 const std::optional<bench_record>& earlier) {
  auto whole = bench_json(found);
  auto text = as_json ? whole : bench_table(found);
  if (!earlier)
    return text;
  auto now = read_bench_record(whole);
  CHECK(now);
  return as_json ? with_ratios(whole, *now, *earlier)
                 : text + ratios_table(*now, *earlier);
}

int run_model(const bench_flags& flags) {
  auto options = flags.options;
  options.num_threads = device_threads(options.cluster.num_threads, 1);
  options.with_plain = !flags.without_plain;
  std::erase_if(options.prompts, [](auto& x) { return x.length == 0; });
  // A run takes minutes: what stands in the way of comparing is said first.
  std::optional<bench_record> earlier;
  if (!flags.earlier.empty()) {
    auto read = read_earlier(flags.earlier);
    if (!read)
      return report(read.why());
    earlier = std::move(*read);
  }
  system_clock time;
  auto found = bench_model(options, time);
  if (!found)
    return report(found.why());
  std::fputs(show(*found, flags.json, earlier).c_str(), stdout);
  return 0;
}

int run_machine(const bench_flags& flags) {
  auto num_threads = device_threads(flags.num_threads, 1);
  system_clock time;
  auto rates = probe_machine(num_threads, time);
  std::optional<stages_report> stages;
  if (!flags.model.empty()) {
    auto found = bench_stages(flags.model, num_threads, time);
    if (!found)
      return report(found.why());
    stages = std::move(*found);
  }
  auto text = flags.json
                ? machine_json(rates, num_threads, stages ? &*stages : nullptr)
                : machine_line(rates);
  if (stages && !flags.json)
    text += stages_table(*stages);
  std::fputs(text.c_str(), stdout);
  return 0;
}

void add_json(CLI::App& command, bench_flags& flags) {
  command.add_flag("--json", flags.json, "One JSON object instead of a table");
}

void add_prompts(CLI::App& command, std::vector<bench_prompt>& to) {
  auto read = [&to](const std::vector<std::string>& texts) {
    to.clear();
    for (auto& text : texts) {
      auto x = parse_bench_prompt(text);
      if (!x)
        throw CLI::ValidationError{"--prompt", x.why().message};
      to.push_back(*x);
    }
  };
  command
    .add_option_function<std::vector<std::string>>(
      "--prompt", read,
      "Lengths of prompts to time (512,2048; 4x512: four at once; 0: none)")
    ->delimiter(',');
}

void add_cases(CLI::App& command, bench_options& options) {
  add_prompts(command, options.prompts);
  command
    .add_option("--decode-depth", options.depths,
                "Tokens before the decoded ones (0,1024,4096)")
    ->delimiter(',')
    ->check(CLI::Range(0, 1 << 20));
  command
    .add_option("--batch", options.batches,
                "Sequences that decode together (1,8,32)")
    ->delimiter(',')
    ->check(CLI::Range(1, 1024));
  command
    .add_option("--decode-tokens", options.num_steps,
                "Tokens of each sequence that are timed (64)")
    ->check(CLI::Range(1, 1 << 20));
  command.add_option("--rounds", options.rounds, "Medians of so many (3)")
    ->check(CLI::Range(1, 1000));
}

/// Flags of companies that are compared.
void add_comparison(CLI::App& command, bench_options& options) {
  command
    .add_option("--micro-batches", options.micro_batches,
                "Compares companies, one for each value (1,2,3,4,auto): steps "
                "of a rank that are out at once")
    ->delimiter(',')
    ->check(CLI::IsMember({"auto", "1", "2", "3", "4"}));
  command
    .add_option("--lane-batch", options.lane_batches,
                "Sequences that decode together in each of the micro-batches "
                "of a rank, so that N of them decode N times as many")
    ->delimiter(',')
    ->check(CLI::Range(1, 1024));
  command.add_flag("--bound", options.with_bound,
                   "Also measures without the emulated links, and prints what "
                   "overlap allows at best with them");
}

void add_bench_model(CLI::App& bench, int& status) {
  auto flags = std::make_shared<bench_flags>();
  auto command = bench.add_subcommand(
    "model", "Tokens per second through the actors and through the plain path, "
             "beside what the machine gives");
  auto& options = flags->options;
  options.cluster.add_to(*command);
  add_device(*command, options.cluster.device);
  add_emulated_links(*command, options.cluster.links);
  add_trace_file(*command, options.cluster.trace_file);
  add_cases(*command, options);
  add_comparison(*command, options);
  command->add_flag("--no-plain", flags->without_plain,
                    "Only the actors: the weights are held once, not twice");
  command->add_option("--compare", flags->earlier,
                      "What --json printed of an earlier run: prints how many "
                      "times as many tokens per second there are now");
  add_json(*command, *flags);
  command->callback([flags, &status] { status = run_model(*flags); });
}

void add_bench_machine(CLI::App& bench, int& status) {
  auto flags = std::make_shared<bench_flags>();
  auto command = bench.add_subcommand(
    "machine", "What this machine reads and computes per second at best, and "
               "what the stages of a model take on it");
  command->add_option("MODEL_DIR", flags->model,
                      "Whose stages are run in many shapes, learnt from, and "
                      "predicted in others");
  command
    ->add_option("--threads", flags->num_threads,
                 "Threads of the CPU device (default: all)")
    ->check(CLI::Range(1, 1024));
  add_json(*command, *flags);
  command->callback([flags, &status] { status = run_machine(*flags); });
}

} // namespace

void add_bench(CLI::App& app, int& status) {
  auto command = app.add_subcommand("bench", "Measures");
  command->require_subcommand(1);
  add_bench_model(*command, status);
  add_bench_machine(*command, status);
  add_bench_serve(*command, status);
  add_bench_transport(*command, status);
}

} // namespace troupe
