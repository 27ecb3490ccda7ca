#include "deploy/commands.hpp"
#include "deploy/report.hpp"
#include "runtime/text/tokenize_lines.hpp"

#include <iostream>
#include <memory>

namespace troupe {

namespace {

struct tokenize_flags {
  std::string model;
  tokenize_options options;
};

int run(const tokenize_flags& flags) {
  std::ios::sync_with_stdio(false);
  auto tokens
    = tokenizer::load(std::filesystem::path{flags.model} / "tokenizer.json");
  if (!tokens)
    return report(tokens.why());
  return tokenize_lines(*tokens, flags.options, std::cin, std::cout, std::cerr);
}

} // namespace

void add_tokenize(CLI::App& app, int& status) {
  auto flags = std::make_shared<tokenize_flags>();
  auto command = app.add_subcommand(
    "tokenize", "JSON lines {\"text\": ...} in, {\"ids\": [...]} out");
  command->add_option("MODEL_DIR", flags->model, "Directory of the checkpoint")
    ->required();
  command->add_flag("--plain", flags->options.plain,
                    "Names of special tokens in the text stay text; lines are "
                    "JSON all the same");
  command->add_flag("--decode", flags->options.decode, "The other way round");
  command->callback([flags, &status] { status = run(*flags); });
}

} // namespace troupe
