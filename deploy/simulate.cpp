#include "actors/simulation_batch.hpp"
#include "deploy/chosen_load.hpp"
#include "deploy/cluster_flags.hpp"
#include "deploy/commands.hpp"
#include "deploy/progress.hpp"
#include "deploy/report.hpp"
#include "deploy/running_company.hpp"
#include "deploy/simulate_report.hpp"
#include "runtime/clock.hpp"
#include "runtime/cluster/balance_settings.hpp"
#include "runtime/sim/fault_plan.hpp"
#include "runtime/sim/idle_executor.hpp"
#include "runtime/sim/oracle.hpp"
#include "runtime/tracing/span_file.hpp"

#include <cstdio>
#include <fstream>

namespace troupe {

namespace {

constexpr auto what_to_know_of_simulate
  = "The nodes, actors, frames and numbers are the real ones; time, threads "
    "and links are virtual. One seed is one course of events. Faults come from "
    "a file, or each seed draws its own (--faults random). Exit status 0 only "
    "if everything held: every accepted request ended once, with the tokens of "
    "the plain path, nothing was lost, and every fault of the file happened. 1 "
    "if something did not hold, 2 if it could not be tried or written.";

/// Exit statuses.
constexpr int has_held = 0, has_failed = 1, not_tried = 2;

/// Runs that the search for a smaller case may take.
constexpr uint32_t max_shrinking = 200;

/// Above it only seeds that fail have a line.
constexpr uint64_t few_seeds = 20;

struct simulate_flags {
  cluster_flags cluster;
  uint64_t seed = 1;
  uint64_t num_seeds = 1;
  std::string faults;
  load_flags load;
  std::string events;
  std::string save = ".";
  bool json = false;
  bool twice = false;
  bool no_arithmetic = false;
  bool every_state = false;
  bool break_the_start = false;
  uint32_t restart_after_ms = 0; ///< 0: nobody begins anew.
  bool no_shrinking = false;
  std::string machine;
};

using batch_ptr = std::unique_ptr<simulation_batch>;

/// Of the first run that records any.
using recorded_spans = std::vector<node_spans>;

result<std::vector<fault>> read_faults(const simulate_flags& flags,
                                       const topology& cluster,
                                       size_t num_requests) {
  if (flags.faults.empty() || flags.faults == "random")
    return std::vector<fault>{};
  plan_scope scope;
  for (auto& node : cluster.nodes)
    scope.nodes.push_back(node.name);
  scope.num_requests = uint32_t(num_requests);
  return read_fault_plan(flags.faults, scope);
}

result<void> ask_oracle(shared_model& model, const topology& cluster,
                        std::shared_ptr<kernels::executor> how,
                        bool with_logits, client_load& load) {
  oracle_options options;
  options.activations = cluster.activations;
  options.max_model_len = cluster.max_model_len;
  options.num_ranks = cluster.num_ranks();
  options.with_logits = with_logits;
  auto tokens = model.tokens();
  if (!tokens)
    return tokens.why();
  options.num_choices = tokens->num_choices;
  options.grammars = tokens->grammars;
  progress_display progress{"simulate", false};
  return ask_plain_path(model.source(), std::move(how), options, load,
                        [&](uint64_t done, uint64_t total) {
                          progress.show("plain path", done, total);
                        });
}

void print_line(virtual_instant at, const std::string& who,
                std::string_view line) {
  std::fprintf(stderr, "%.6f s %s: %.*s\n",
               std::chrono::duration<double>(at - world_begin).count(),
               who.c_str(), int(line.size()), line.data());
}

result<batch_ptr> prepare(const simulate_flags& flags, recorded_spans& spans) {
  auto cluster = flags.cluster.cluster();
  if (!cluster)
    return cluster.why();
  auto how = flags.no_arithmetic ? make_idle_executor()
                                 : std::shared_ptr<kernels::executor>{
                                   kernels::make_cpu_executor({})};
  auto model = shared_model::open(cluster->model,
                                  kernels::make_inline_device(0, how));
  if (!model)
    return model.why();
  limit_context(flags.cluster, (*model)->config(), *cluster);
  if (auto fits = check_fits(*cluster, (*model)->config()); !fits)
    return fits.why();
  auto balance = flags.cluster.balance.settings();
  if (!balance)
    return balance.why();
  if (*balance)
    if (auto ok = check_balance(**balance, *cluster, (*model)->config()); !ok)
      return ok.why();
  auto moving = flags.cluster.moving.settings();
  if (!moving)
    return moving.why();
  auto load = choose_load(flags.load, cluster->model, (*model)->config());
  if (!load)
    return load.why();
  if (auto asked = ask_oracle(**model, *cluster, how, !flags.no_arithmetic,
                              *load);
      !asked)
    return asked.why();
  simulation_batch_options options;
  auto& base = options.base;
  base.break_the_start = flags.break_the_start;
  if (!flags.machine.empty()) {
    auto parts = read_world_model(flags.machine);
    if (!parts)
      return parts.why();
    base.company.parts = *parts;
  }
  auto faults = read_faults(flags, *cluster, load->requests.size());
  if (!faults)
    return faults.why();
  base.what = {std::move(*faults), std::move(*load)};
  if (auto ok = check_times(base); !ok)
    return ok.why();
  if (!flags.no_arithmetic)
    options.make_compute = [] { return kernels::make_cpu_executor({}); };
  base.company.cluster = std::move(*cluster);
  base.company.model = *model;
  base.company.balance = std::move(*balance);
  base.company.moving = std::move(*moving);
  base.company.outage_timeout
    = std::chrono::milliseconds{flags.cluster.outage_timeout_ms};
  base.company.restart_after
    = std::chrono::milliseconds{flags.restart_after_ms};
  base.company.level = flags.cluster.level();
  if (flags.num_seeds == 1) // lines of several worlds say nothing
    base.company.log = print_line;
  if (!flags.cluster.trace_file.empty())
    base.company.spans = [&spans](auto all) {
      if (spans.empty())
        spans = std::move(all);
    };
  options.random_faults = flags.faults == "random";
  options.twice = flags.twice;
  options.num_threads = device_threads(flags.cluster.num_threads, 1);
  return std::make_unique<simulation_batch>(std::move(options));
}

bool write_file(const std::string& path, const std::string& text) {
  std::ofstream out{path, std::ios::binary};
  out << text;
  return bool(out.flush());
}

/// `what`: where its faults and requests come from, as flags.
std::string replay_of(const simulate_flags& flags, uint64_t seed,
                      const std::string& what, bool breaks_the_start) {
  auto out = "troupe simulate " + flags.cluster.replayed() + " --seed "
             + std::to_string(seed) + what;
  if (!flags.machine.empty())
    out += " --machine " + in_quotes(flags.machine);
  if (flags.no_arithmetic)
    out += " --no-arithmetic";
  if (flags.twice)
    out += " --twice";
  if (breaks_the_start)
    out += " --break-the-start";
  if (flags.restart_after_ms > 0)
    out += " --restart-after-ms " + std::to_string(flags.restart_after_ms);
  return out;
}

/// The case of a seed, smaller or not, in files; where these cannot be written
/// as it came.
std::string save_and_replay(const simulate_flags& flags,
                            const simulation_batch& batch, uint64_t seed,
                            const sim_case& what) {
  auto stem = (std::filesystem::path{flags.save}
               / ("simulate-seed-" + std::to_string(seed)))
                .string();
  if (write_file(stem + ".toml", render(what.faults))
      && write_file(stem + ".jsonl", render(what.load)))
    return replay_of(flags, seed,
                     " --faults " + in_quotes(stem + ".toml") + " --requests "
                       + in_quotes(stem + ".jsonl"),
                     batch.breaks_the_start(seed));
  std::fprintf(stderr, "cannot write %s.toml and .jsonl\n", stem.c_str());
  auto faults = flags.faults.empty() ? ""
                                     : " --faults " + in_quotes(flags.faults);
  return replay_of(flags, seed, faults + " " + flags.load.replayed(),
                   flags.break_the_start);
}

/// A smaller case, as files, and the command that runs it.
void show_failure(const simulate_flags& flags, const simulation_batch& batch,
                  const simulation_result& failed) {
  auto what = batch.case_of(failed.seed);
  if (!flags.no_shrinking) {
    progress_display progress{"simulate", false};
    what = batch.shrink(failed, max_shrinking, [&](uint32_t runs) {
      progress.show("smaller cases", runs, max_shrinking);
    });
  }
  auto again = batch.run(failed.seed, what);
  std::fputs(details(again).c_str(), stderr);
  if (again.holds())
    std::fputs("it holds when it is run again: that is a fault of its own\n",
               stderr);
  std::fprintf(stderr, "replay: %s\n",
               save_and_replay(flags, batch, failed.seed, what).c_str());
}

void show(const simulate_flags& flags, const simulation_result& x) {
  if (flags.json)
    std::puts(to_json(x).c_str());
  else if (flags.num_seeds <= few_seeds || !x.holds())
    std::puts(summary(x).c_str());
  if (!flags.json && !x.violations.empty())
    std::printf("  %s\n", to_string(x.violations[0]).c_str());
  std::fflush(stdout);
}

/// Whether all states were reached, where that is asked for.
bool show_states(const simulate_flags& flags, const sometimes_tally& tally) {
  auto unreached = tally.unreached();
  if (unreached.empty() || (flags.num_seeds <= few_seeds && !flags.every_state))
    return true;
  std::fputs("states that no seed has reached:", stderr);
  for (auto& name : unreached)
    std::fprintf(stderr, " %s", name.c_str());
  std::fputs("\n", stderr);
  return !flags.every_state;
}

int run_one(const simulate_flags& flags, const simulation_batch& batch,
            const recorded_spans& spans) {
  std::ofstream events;
  trace::observer note;
  if (!flags.events.empty()) {
    events.open(flags.events, std::ios::binary);
    if (!events)
      return report({errc::io, "cannot write " + flags.events}), not_tried;
    note = [&](const trace_entry& e) { events << to_string(e) << '\n'; };
  }
  auto out = batch.run(flags.seed, batch.case_of(flags.seed), note);
  auto is_written = !note || events.flush();
  auto& file = flags.cluster.trace_file;
  auto traced = file.empty() ? result<void>{} : write_spans(file, spans);
  show(flags, out);
  if (!out.holds())
    show_failure(flags, batch, out);
  if (!is_written)
    report({errc::io, "cannot write " + flags.events});
  if (!traced)
    report(traced.why());
  sometimes_tally tally;
  tally.add(out.reached);
  if (!show_states(flags, tally) || !out.holds())
    return has_failed;
  return is_written && traced ? has_held : not_tried;
}

int run_many(const simulate_flags& flags, simulation_batch& batch) {
  system_clock time;
  auto start = time.now();
  progress_display progress{"simulate", false};
  sometimes_tally tally;
  uint64_t done = 0;
  std::optional<simulation_result> failed; // of the lowest seed
  batch.run_all(flags.seed, flags.num_seeds, [&](auto& out) {
    tally.add(out.reached);
    show(flags, out);
    if (!out.holds() && (!failed || out.seed < failed->seed))
      failed = out;
    progress.show("seeds", ++done, flags.num_seeds);
  });
  auto took = std::chrono::duration<double>(time.now() - start).count();
  std::fprintf(stderr, "%llu seeds in %.1f s\n",
               static_cast<unsigned long long>(done), took);
  if (failed)
    show_failure(flags, batch, *failed);
  auto reached = show_states(flags, tally);
  return !failed && reached ? has_held : has_failed;
}

/// Returns whether there is none.
bool show_calm_failure(const simulate_flags& flags,
                       const simulation_batch& batch) {
  auto& x = batch.calm_failure();
  if (!x)
    return true;
  std::fprintf(
    stderr,
    "%sit has no faults, and theirs follow from it\n"
    "replay: %s\n",
    details(*x).c_str(),
    replay_of(flags, x->seed, " " + flags.load.replayed(), false).c_str());
  return false;
}

int run(const simulate_flags& flags) {
  recorded_spans spans;
  auto x = prepare(flags, spans);
  if (!x)
    return report(x.why()), not_tried;
  auto was_calm = show_calm_failure(flags, **x);
  auto status = flags.num_seeds == 1 ? run_one(flags, **x, spans)
                                     : run_many(flags, **x);
  return was_calm ? status : has_failed;
}

} // namespace

void add_simulate(CLI::App& app, int& status) {
  auto flags = std::make_shared<simulate_flags>();
  auto& command = *app.add_subcommand(
    "simulate", "Runs a whole company in virtual time, and breaks it");
  command.footer(what_to_know_of_simulate);
  flags->cluster.add_to(command);
  add_micro_batches(command, flags->cluster.micro_batches);
  flags->cluster.balance.add_to(command);
  flags->cluster.moving.add_to(command);
  command.add_option("--seed", flags->seed, "The first one (default 1)");
  command.add_option("--seeds", flags->num_seeds, "How many (default 1)")
    ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 32));
  command.add_option("--faults", flags->faults,
                     "A file of faults (TOML), or: random");
  flags->load.add_to(command);
  auto events = command.add_option("--events", flags->events,
                                   "Where the events of the run are written");
  auto trace = command.add_option(
    "--trace", flags->cluster.trace_file,
    "Where to write what each stream, link and lane did when, in virtual time "
    "(JSON for Perfetto; troupe trace reads it)");
  command.add_option("--save", flags->save,
                     "Where the case of a seed that fails is written (default "
                     "here)");
  command.add_flag("--json", flags->json, "One object a seed");
  command.add_flag("--twice", flags->twice,
                   "Run each seed twice: the traces have to be equal");
  command.add_flag("--no-arithmetic", flags->no_arithmetic,
                   "Compute nothing: time passes and tokens are made up");
  command.add_flag("--break-the-start", flags->break_the_start,
                   "Faults may begin before the company serves, and their "
                   "times count from there");
  command
    .add_option("--restart-after-ms", flags->restart_after_ms,
                "So long after its process has given up a node begins anew "
                "(default: it does not; one that was killed does where its "
                "fault says so)")
    ->check(CLI::Range(1u, 600'000u));
  command.add_flag("--every-state", flags->every_state,
                   "Fail unless the seeds reach every state that they should");
  command.add_flag("--no-shrinking", flags->no_shrinking,
                   "Show a failure as it came");
  command.add_option("--machine", flags->machine,
                     "What the world is made of (TOML): devices, links, clocks "
                     "of nodes");
  command.callback([flags, events, trace, &status] {
    for (auto* x : {events, trace})
      if (flags->num_seeds > 1 && x->count() > 0)
        throw CLI::ValidationError{x->get_name(), "is of one seed"};
    status = run(*flags);
  });
}

} // namespace troupe
