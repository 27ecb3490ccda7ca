#include "deploy/model_commands.hpp"
#include "deploy/progress.hpp"
#include "deploy/report.hpp"
#include "runtime/convert/gguf_export.hpp"

#include <cstdio>
#include <memory>

namespace troupe {

namespace {

constexpr auto what_to_know_of_model_export
  = "FP8 weights become BF16: exact where scales are powers of two, as those "
    "of `troupe model make` are, else rounded to nearest even. q8_0 is "
    "quantised from that as llama-quantize does; rows that are not whole "
    "blocks of 32 stay BF16. Norms, biases and routers are FP32. MTP layers "
    "are left out. rms_norm_eps counts for the latent norms too, which have "
    "1e-6 here.";

struct export_flags {
  std::string model;
  std::string out;
  std::string type = "bf16";
};

int export_model(const export_flags& flags) {
  auto source = checkpoint::open(flags.model);
  if (!source)
    return report(source.why());
  progress_display progress{"export", false};
  auto type = flags.type == "q8_0" ? ggml_type::q8_0 : ggml_type::bf16;
  auto found = export_gguf(*source, flags.out, type,
                           [&](uint64_t done, uint64_t total) {
                             progress.show("writing", done, total);
                           });
  if (!found)
    return report(found.why());
  std::printf("%s: %llu tensors, %.1f MB\n", flags.out.c_str(),
              static_cast<unsigned long long>(found->num_tensors),
              static_cast<double>(found->bytes) / 1e6);
  return 0;
}

} // namespace

void add_model_export_gguf(CLI::App& model, int& status) {
  auto flags = std::make_shared<export_flags>();
  auto command = model.add_subcommand(
    "export-gguf", "Writes a checkpoint as a GGUF file that llama.cpp loads");
  command->footer(what_to_know_of_model_export);
  command->add_option("MODEL_DIR", flags->model, "Directory of the checkpoint")
    ->required();
  command
    ->add_option("OUT", flags->out,
                 "The .gguf file to write; replaced, if it is there, when "
                 "the new one is whole")
    ->required();
  command->add_option("--type", flags->type, "Of matrices")
    ->check(CLI::IsMember({"bf16", "q8_0"}))
    ->capture_default_str();
  command->callback([flags, &status] { status = export_model(*flags); });
}

} // namespace troupe
