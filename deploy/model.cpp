#include "deploy/commands.hpp"
#include "deploy/device_flag.hpp"
#include "deploy/model_commands.hpp"
#include "deploy/progress.hpp"
#include "deploy/report.hpp"
#include "deploy/running_company.hpp"
#include "kernels/device.hpp"
#include "runtime/checkpoint/inspect.hpp"
#include "runtime/verify/verify.hpp"

#include <cstdio>
#include <memory>

namespace troupe {

namespace {

struct model_flags {
  std::string model;
  std::string golden;
  std::string activations;
  std::string out;
  std::string form;
  std::string device;
};

int inspect(const model_flags& flags) {
  auto text = inspect_model(flags.model);
  if (!text)
    return report(text.why());
  std::fputs(text->c_str(), stdout);
  std::fputs(describe_devices().c_str(), stdout);
  return 0;
}

int verify(const model_flags& flags) {
  auto source = checkpoint::open(flags.model);
  if (!source)
    return report(source.why());
  verify_options options;
  if (!flags.activations.empty())
    options.activations = *parse_precision(flags.activations);
  options.out = flags.out;
  if (!flags.form.empty())
    options.prompt_form = flags.form == "absorbed" ? attention_form::absorbed
                                                   : attention_form::multi_head;
  node_options computed;
  if (auto ok = choose_device(flags.device, computed); !ok)
    return report(ok.why());
  auto device = computed.device;
  if (!device && computed.target == "reference")
    device = kernels::make_reference_device(0);
  if (!device)
    device = kernels::make_cpu_device({.id = 0,
                                       .num_threads = device_threads(0, 1),
                                       .target = computed.target});
  progress_display progress{"verify", false};
  auto found = verify_model(*device, *source, flags.golden, options,
                            [&](uint64_t done, uint64_t total) {
                              progress.show("loading", done, total);
                            });
  if (!found)
    return report(found.why());
  std::printf("activations %s, bounds of %s\n",
              std::string{to_string(found->activations)}.c_str(),
              found->numerics.c_str());
  for (auto& line : found->lines)
    std::printf("%s\n", line.c_str());
  for (auto& fault : found->faults)
    std::printf("out of bounds: %s\n", fault.c_str());
  std::puts(found->faults.empty() ? "PASS" : "FAIL");
  return found->faults.empty() ? 0 : 1;
}

void add_inspect(CLI::App& model, int& status) {
  auto flags = std::make_shared<model_flags>();
  auto command = model.add_subcommand(
    "inspect", "Architecture, parameters, bytes by kind, EP degrees that fit");
  command->add_option("MODEL_DIR", flags->model, "Directory of the checkpoint")
    ->required();
  command->callback([flags, &status] { status = inspect(*flags); });
}

void add_verify(CLI::App& model, int& status) {
  auto flags = std::make_shared<model_flags>();
  auto command = model.add_subcommand(
    "verify", "Compares what is computed with a golden file");
  command->add_option("MODEL_DIR", flags->model, "Directory of the checkpoint")
    ->required();
  command->add_option("GOLDEN", flags->golden, "A golden .safetensors file")
    ->required();
  command
    ->add_option("--activations", flags->activations,
                 "Default: as the model is served")
    ->check(CLI::IsMember({"fp8", "bf16", "fp32"}));
  command
    ->add_option("--form", flags->form,
                 "How prompts attend. Default: by their lengths")
    ->check(CLI::IsMember({"absorbed", "multi-head"}));
  add_device(*command, flags->device);
  command->add_option("--out", flags->out,
                      "Writes what was computed, under the same names");
  command->callback([flags, &status] { status = verify(*flags); });
}

} // namespace

void add_model(CLI::App& app, int& status) {
  auto command
    = app.add_subcommand("model", "Looks into, makes and exports checkpoints");
  command->require_subcommand(1);
  add_inspect(*command, status);
  add_verify(*command, status);
  add_model_make(*command, status);
  add_model_export_gguf(*command, status);
}

} // namespace troupe
