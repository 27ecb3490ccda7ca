#include "deploy/balance_record.hpp"
#include "deploy/commands.hpp"
#include "deploy/progress.hpp"
#include "deploy/report.hpp"
#include "runtime/balance/eplb.hpp"
#include "runtime/balance/expert_balancer.hpp"
#include "runtime/balance/load_table.hpp"
#include "runtime/balance/plan_file.hpp"
#include "runtime/clock.hpp"
#include "runtime/formatted.hpp"

#include <cstdio>
#include <optional>

namespace troupe {

namespace {

using namespace balance;

constexpr auto what_to_know_of_balance
  = "LOADS.csv has a header \"source,layer,e0,e1,...\" and a row of counts for "
    "each source and layer. A GPU has SLOTS / GPUS slots, the first GPU the "
    "first ones; nodes have GPUs in the same way. Balance is the mean over the "
    "largest load of a GPU; \"possible\" is what no plan can pass, the bound "
    "of "
    "the JSON is the largest load (rows) that no plan can go below. A weight "
    "is the share of its expert's rows that a slot takes. Moves are copies of "
    "experts to GPUs that do not have them yet: without --from, all.";

// Slots of all layers from which on it takes seconds.
constexpr uint64_t much_work = 1 << 20;

struct balance_flags {
  std::string loads;
  std::optional<std::string> source;
  layout_shape shape;
  std::string from;
  std::string algorithm = "troupe";
  balance_options options;
  bool json = false;
};

result<std::vector<std::optional<layer_layout>>>
find_present(const balance_flags& flags, const load_table& loads) {
  std::vector<std::optional<layer_layout>> out(loads.layers.size());
  if (flags.from.empty())
    return out;
  auto plan = read_plan(flags.from, flags.shape);
  if (!plan)
    return plan.why();
  for (auto& x : *plan)
    for (size_t i = 0; i < out.size(); ++i)
      if (loads.layers[i] == x.layer)
        out[i] = std::move(x.layout);
  for (size_t i = 0; i < out.size(); ++i)
    if (!out[i])
      return failure{errc::invalid_input,
                     formatted("%s: there is no layer %u, which %s has",
                               flags.from.c_str(), loads.layers[i],
                               flags.loads.c_str())};
  return out;
}

layer_layout plan_layer(const balance_flags& flags, const layer_state& x) {
  if (flags.algorithm == "eplb")
    return balance_eplb(x.shape, x.loads);
  return expert_balancer{flags.options}.plan(x).layout;
}

result<plan_report> make_plan(const balance_flags& flags,
                              const load_table& loads) {
  auto present = find_present(flags, loads);
  if (!present)
    return present.why();
  plan_report out;
  progress_display progress{"balance", false};
  auto total = loads.layers.size();
  auto is_long = uint64_t{flags.shape.num_slots} * total >= much_work;
  std::vector<layer_layout> layouts;
  system_clock clock;
  auto start = clock.now();
  for (size_t i = 0; i < total; ++i) {
    layouts.push_back(
      plan_layer(flags, {flags.shape, loads.loads[i], (*present)[i]}));
    if (is_long)
      progress.show("layers", i + 1, total);
  }
  out.seconds = std::chrono::duration<double>(clock.now() - start).count();
  for (size_t i = 0; i < total; ++i) {
    auto& was = (*present)[i];
    out.moves += count_moves(flags.shape,
                             was ? std::span<const uint32_t>{was->experts}
                                 : std::span<const uint32_t>{},
                             layouts[i].experts);
    auto balance
      = balance_of(worker_loads(flags.shape, layouts[i], loads.loads[i]));
    out.layers.push_back({loads.layers[i], std::move(layouts[i]), balance,
                          least_largest_load(flags.shape, loads.loads[i])});
  }
  return out;
}

int run(balance_flags flags) {
  auto loads = read_loads(flags.loads, flags.source);
  if (!loads)
    return report(loads.why());
  flags.shape.num_experts = loads->num_experts;
  if (auto ok = check_shape(flags.shape); !ok)
    return report(ok.why());
  auto plan = make_plan(flags, *loads);
  if (!plan)
    return report(plan.why());
  auto text = flags.json ? to_json(*plan)
                         : to_text(*plan, flags.shape, loads->loads);
  std::fputs(text.c_str(), stdout);
  return 0;
}

void add_shape(CLI::App& command, layout_shape& shape) {
  auto add = [&](const char* name, uint32_t& to, const char* what) {
    return command.add_option(name, to, what)->check(CLI::Range(1, 65'535));
  };
  add("--slots", shape.num_slots, "Places for experts in a layer");
  add("--gpus", shape.num_workers, "That share the slots evenly");
  add("--nodes", shape.num_nodes, "That share the GPUs evenly (default 1)");
  add(
    "--groups", shape.num_groups,
    "Of consecutive experts; eplb packs whole ones onto nodes where they come "
    "out even (default 1)");
}

} // namespace

void add_balance(CLI::App& app, int& status) {
  auto flags = std::make_shared<balance_flags>();
  auto& command = *app.add_subcommand(
    "balance", "Which expert goes into which slot, for a file of loads");
  command.footer(what_to_know_of_balance);
  command.add_option("LOADS", flags->loads,
                     "How often experts were chosen (CSV)");
  command.add_option("--source", flags->source,
                     "Which of the file's sources (default: all added up)");
  add_shape(command, flags->shape);
  command.add_option("--from", flags->from,
                     "The present plan, as --json wrote it: few experts move, "
                     "those that are worth it (default: all are placed anew)");
  command
    .add_option("--algorithm", flags->algorithm,
                "troupe, or eplb as DeepSeek has published it (default troupe)")
    ->check(CLI::IsMember({"troupe", "eplb"}));
  command
    .add_option("--least-gain", flags->options.least_gain,
                "What a copy has to take from the fullest GPU, as a share of "
                "the mean load (default 0.0002)")
    ->check(CLI::Range(0.0, 1.0));
  command
    .add_option("--most-copied", flags->options.most_copied,
                "Copies of one plan, as a share of the slots (default 0.18)")
    ->check(CLI::Range(0.0, 2.0));
  command.add_flag("--json", flags->json,
                   "JSON that --from reads: seconds, moves, and for each layer "
                   "physical_to_logical, weights, balance, bound");
  add_balance_record(command, status);
  command.callback([flags, &command, &status] {
    if (!command.get_subcommands().empty())
      return; // it has been done
    for (auto name : {"LOADS", "--slots", "--gpus"})
      if (command.count(name) == 0)
        throw CLI::RequiredError{name};
    status = run(*flags);
  });
}

} // namespace troupe
