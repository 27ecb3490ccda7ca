#include "deploy/model_commands.hpp"
#include "deploy/progress.hpp"
#include "deploy/report.hpp"
#include "runtime/convert/model_maker.hpp"
#include "runtime/convert/model_presets.hpp"

#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>

namespace troupe {

namespace {

constexpr auto what_to_know_of_model_make
  = "The same seed gives the same values, in FP8 or BF16, in one file or many. "
    "With --config, any config.json that Troupe reads gives the shape; the ids "
    "of special tokens are replaced, and vocab_size must be at least 272.";

struct make_flags {
  std::string dir;
  std::string preset;
  std::string config;
  std::string weights;
  make_options options;
};

result<std::string> config_of(const make_flags& flags) {
  if (!flags.preset.empty())
    return preset_config(flags.preset);
  std::ifstream in{flags.config, std::ios::binary};
  std::string text{std::istreambuf_iterator<char>{in}, {}};
  if (!in)
    return failure{errc::not_found, "cannot read " + flags.config};
  return text;
}

int make(make_flags& flags) {
  auto config = config_of(flags);
  if (!config)
    return report(config.why());
  flags.options.config_json = std::move(*config);
  if (!flags.weights.empty())
    flags.options.fp8 = flags.weights == "fp8";
  progress_display progress{"make", false};
  auto made = make_model(flags.dir, flags.options,
                         [&](uint64_t done, uint64_t total) {
                           progress.show("writing", done, total);
                         });
  if (!made)
    return report(made.why());
  std::printf("%s: %.1f million parameters, %.1f MB of weights, seed %llu\n",
              flags.dir.c_str(), static_cast<double>(made->parameters) / 1e6,
              static_cast<double>(made->bytes) / 1e6,
              static_cast<unsigned long long>(flags.options.seed));
  return 0;
}

} // namespace

void add_model_make(CLI::App& model, int& status) {
  auto flags = std::make_shared<make_flags>();
  auto command = model.add_subcommand(
    "make", "Makes a model of random weights in the published format");
  command->footer(what_to_know_of_model_make);
  command
    ->add_option("DIR", flags->dir,
                 "Directory to make the model in: new or empty")
    ->required();
  auto shape = command->add_option_group("shape");
  shape
    ->add_option(
      "--preset", flags->preset,
      "20 million, 650 million or 3.1 billion parameters; V3's layers "
      "and experts, narrow: 780 million")
    ->check(CLI::IsMember({"micro", "small", "medium", "v3-mini"}));
  shape->add_option("--config", flags->config, "A config.json");
  shape->require_option(1);
  command->add_option("--seed", flags->options.seed, "Chooses the weights")
    ->capture_default_str();
  command
    ->add_option("--weights", flags->weights,
                 "Type of linear weights; default: as the configuration says, "
                 "fp8 for presets")
    ->check(CLI::IsMember({"fp8", "bf16"}));
  command
    ->add_option("--shard-bytes", flags->options.shard_bytes,
                 "Bytes of weights in one file, e.g. 1073741824; 0: all")
    ->capture_default_str();
  command->callback([flags, &status] { status = make(*flags); });
}

} // namespace troupe
