#include "deploy/commands.hpp"
#include "deploy/report.hpp"
#include "runtime/checkpoint/output_file.hpp"
#include "runtime/tracing/layer_picture.hpp"
#include "runtime/tracing/overlap.hpp"
#include "runtime/tracing/span_costs.hpp"
#include "runtime/tracing/span_file.hpp"

#include <cstdio>

namespace troupe {

namespace {

constexpr auto what_to_know_of_trace
  = "Of the time in which a rank has steps out: busy, while its streams "
    "compute "
    "or copy; waiting, the rest; experts, while a worker of its node runs; "
    "communication, while rows are on their way to other nodes or back, hidden "
    "where the rank is busy or such a worker runs, else exposed.";

struct trace_flags {
  std::vector<std::string> files;
  std::string svg;
  bool costs = false;
  uint16_t rank = 0;
};

result<std::vector<node_spans>> read_all(const trace_flags& flags) {
  std::vector<node_spans> all;
  for (auto& file : flags.files) {
    auto read = read_spans(file);
    if (!read)
      return read.why();
    for (auto& x : *read)
      all.push_back(std::move(x));
  }
  return whole_part(std::move(all));
}

result<void> draw(const trace_flags& flags,
                  const std::vector<node_spans>& all) {
  auto what = choose_layer(all, flags.rank);
  if (!what)
    return what.why();
  return write_file(flags.svg, draw_layer(all, *what));
}

int run(const trace_flags& flags) {
  auto all = read_all(flags);
  if (!all)
    return report(all.why());
  std::fputs(to_string(measure_overlap(*all)).c_str(), stdout);
  if (flags.costs)
    std::fputs(to_string(learn_costs(*all).parameters()).c_str(), stdout);
  if (flags.svg.empty())
    return 0;
  auto ok = draw(flags, *all);
  return ok ? 0 : report(ok.why());
}

} // namespace

void add_trace(CLI::App& app, int& status) {
  auto flags = std::make_shared<trace_flags>();
  auto& command = *app.add_subcommand(
    "trace", "What a file of --trace says of waiting and communication");
  command.footer(what_to_know_of_trace);
  command
    .add_option("FILE", flags->files,
                "Written by --trace; several nodes' of one machine together")
    ->required();
  command.add_option("--svg", flags->svg,
                     "Where to draw one layer with its micro-batches");
  command.add_flag("--costs", flags->costs,
                   "Also what stages take once and for each row, runs of "
                   "experts for each pair, frames for each byte");
  command.add_option("--rank", flags->rank, "Whose layer (default 0)");
  command.callback([flags, &status] { status = run(*flags); });
}

} // namespace troupe
