#include "deploy/bench_report.hpp"
#include "deploy/commands.hpp"
#include "deploy/report.hpp"
#include "deploy/running_company.hpp"

#include <cstdio>
#include <memory>

namespace troupe {

namespace {

struct bench_flags {
  bench_options options;
  std::string activations = "fp8";
  uint32_t num_threads = 0;
  bool without_plain = false;
  bool json = false;
};

int run_model(const bench_flags& flags) {
  auto options = flags.options;
  options.activations = *parse_precision(flags.activations);
  options.num_threads = device_threads(flags.num_threads, 1);
  options.with_plain = !flags.without_plain;
  std::erase(options.prompts, 0u);
  system_clock time;
  auto found = bench_model(options, time);
  if (!found)
    return report(found.why());
  auto text = flags.json ? bench_json(*found) : bench_table(*found);
  std::fputs(text.c_str(), stdout);
  return 0;
}

int run_machine(const bench_flags& flags) {
  auto num_threads = device_threads(flags.num_threads, 1);
  system_clock time;
  auto rates = probe_machine(num_threads, time);
  auto text = flags.json ? machine_json(rates, num_threads)
                         : machine_line(rates);
  std::fputs(text.c_str(), stdout);
  return 0;
}

void add_common(CLI::App& command, bench_flags& flags) {
  command
    .add_option("--threads", flags.num_threads,
                "Threads of the CPU device (default: all)")
    ->check(CLI::Range(1, 1024));
  command.add_flag("--json", flags.json, "One JSON object instead of a table");
}

void add_cases(CLI::App& command, bench_options& options) {
  command
    .add_option("--prompt", options.prompts,
                "Lengths of prompts to time (512,2048; 0: none)")
    ->delimiter(',')
    ->check(CLI::Range(0, 1 << 20));
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
  command
    .add_option("--max-num-batched-tokens", options.chunk,
                "Rows of a step at most (512)")
    ->check(CLI::Range(1, 1 << 16));
}

void add_bench_model(CLI::App& bench, int& status) {
  auto flags = std::make_shared<bench_flags>();
  auto command = bench.add_subcommand(
    "model", "Tokens per second through the actors and through the plain path, "
             "beside what the machine gives");
  command
    ->add_option("MODEL_DIR", flags->options.model,
                 "Directory of the checkpoint")
    ->required();
  add_cases(*command, flags->options);
  command
    ->add_option("--activations", flags->activations,
                 "What products see and what travels (fp8)")
    ->check(CLI::IsMember({"fp8", "bf16", "fp32"}));
  command->add_flag("--no-plain", flags->without_plain,
                    "Only the actors: the weights are held once, not twice");
  add_common(*command, *flags);
  command->callback([flags, &status] { status = run_model(*flags); });
}

void add_bench_machine(CLI::App& bench, int& status) {
  auto flags = std::make_shared<bench_flags>();
  auto command = bench.add_subcommand(
    "machine", "What this machine reads and computes per second at best");
  add_common(*command, *flags);
  command->callback([flags, &status] { status = run_machine(*flags); });
}

} // namespace

void add_bench(CLI::App& app, int& status) {
  auto command = app.add_subcommand("bench", "Measures");
  command->require_subcommand(1);
  add_bench_model(*command, status);
  add_bench_machine(*command, status);
}

} // namespace troupe
