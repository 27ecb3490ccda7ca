#include "deploy/commands.hpp"
#include "deploy/report.hpp"
#include "runtime/checkpoint/output_file.hpp"
#include "runtime/sim/unit_picture.hpp"
#include "runtime/sim/unit_scene.hpp"
#include "runtime/tracing/layer_picture.hpp"
#include "runtime/tracing/span_file.hpp"

#include <cstdio>
#include <optional>

namespace troupe {

namespace {

constexpr auto what_to_know_of_picture
  = "Each GPU of the unit has a rank, whose steps the real walk leads through "
    "the real stages in micro-batches, and a worker; they share what computes, "
    "the worker first, and what is sent goes one after the other. There are no "
    "nodes, actors, frames or numbers: times follow from the model's shapes "
    "and "
    "the machine. What is published is printed beside it and used nowhere.";

struct picture_flags {
  std::string scene;
  std::string published;
  std::string svg;
  std::string trace;
  // As the scene says, if not given.
  std::optional<uint32_t> num_ranks;
  std::optional<uint32_t> redundant_experts;
};

/// Beside the scene, unless one is named.
result<layer_figures> find_published(const picture_flags& flags) {
  std::filesystem::path scene{flags.scene};
  if (!flags.published.empty())
    return read_published(flags.published, scene.stem().string());
  auto beside = scene.parent_path() / "published.toml";
  if (!std::filesystem::exists(beside))
    return layer_figures{};
  return read_published(beside, scene.stem().string());
}

result<void> write(const picture_flags& flags,
                   const std::vector<node_spans>& spans) {
  if (!flags.trace.empty())
    if (auto written = write_spans(flags.trace, spans); !written)
      return written;
  if (flags.svg.empty())
    return {};
  auto what = choose_layer(spans, 0);
  if (!what)
    return what.why();
  return write_file(flags.svg, draw_layer(spans, *what));
}

int run(const picture_flags& flags) {
  auto options = read_unit_scene(flags.scene);
  if (!options)
    return report(options.why());
  options->num_ranks = flags.num_ranks.value_or(options->num_ranks);
  options->redundant_experts
    = flags.redundant_experts.value_or(options->redundant_experts);
  if (auto ok = check_ranks(*options); !ok)
    return report(ok.why());
  auto published = find_published(flags);
  if (!published)
    return report(published.why());
  auto step = run_step(*options);
  std::fputs(to_string(measure_layer(*options, step), *published).c_str(),
             stdout);
  auto written = write(flags, step.spans);
  return written ? 0 : report(written.why());
}

} // namespace

void add_picture(CLI::App& app, int& status) {
  auto flags = std::make_shared<picture_flags>();
  auto& command = *app.add_subcommand(
    "picture", "A layer of a unit of GPUs in virtual time, beside a published "
               "profile");
  command.footer(what_to_know_of_picture);
  command
    .add_option("FILE", flags->scene,
                "What unit it is (TOML; examples/pictures)")
    ->required();
  command
    .add_option("--ranks", flags->num_ranks,
                "GPUs of the unit (default: as the scene says)")
    ->check(CLI::Range(2, 512));
  command
    .add_option("--redundant-experts", flags->redundant_experts,
                "Slots beyond one for each expert (default: likewise)")
    ->check(CLI::Range(0, 512));
  command.add_option("--published", flags->published,
                     "What to print beside it (default: published.toml beside "
                     "the scene, if it is there)");
  command.add_option("--svg", flags->svg, "Where to draw a layer");
  command.add_option("--trace", flags->trace,
                     "Where to write what two of the GPUs did when (JSON for "
                     "Perfetto; troupe trace reads it)");
  command.callback([flags, &status] { status = run(*flags); });
}

} // namespace troupe
