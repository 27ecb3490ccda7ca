#include "deploy/chosen_load.hpp"

#include "deploy/cluster_flags.hpp"
#include "deploy/model_defaults.hpp"

namespace troupe {

void load_flags::add_to(CLI::App& command) {
  auto file = command.add_option(
    "--requests", requests,
    "What is asked: one JSON object a line (prompt, max_tokens, temperature, "
    "seed, arrival, cancel_after)");
  command
    .add_option("--load", load,
                "What is asked, in words (default "
                "streams=8,prompt=4-48,output=2-16,requests=32)")
    ->excludes(file);
  command
    .add_option("--load-seed", seed,
                "Of its prompts and lengths (default 1), for all seeds")
    ->excludes(file);
}

std::string load_flags::replayed() const {
  if (!requests.empty())
    return "--requests " + in_quotes(requests);
  return "--load " + in_quotes(load) + " --load-seed " + std::to_string(seed);
}

namespace {

result<void> encode_texts(client_load& load,
                          const std::filesystem::path& model_dir,
                          const model_config& config) {
  auto is_text = [](auto& x) { return x.request.prompt.empty(); };
  if (std::ranges::none_of(load.requests, is_text))
    return {};
  auto tokens = tokenizer::load(model_dir / "tokenizer.json");
  if (!tokens)
    return tokens.why();
  auto defaults = read_model_defaults(model_dir, config, *tokens);
  if (!defaults)
    return defaults.why();
  for (auto& x : load.requests) {
    if (!is_text(x))
      continue;
    auto& ids = x.request.prompt;
    ids = tokens->encode(x.text, specials::recognised);
    if (defaults->first_id)
      ids.insert(ids.begin(), *defaults->first_id);
  }
  return {};
}

} // namespace

result<client_load> choose_load(const load_flags& flags,
                                const std::filesystem::path& model_dir,
                                const model_config& config) {
  if (flags.requests.empty()) {
    auto spec = parse_load(flags.load);
    if (!spec)
      return spec.why();
    return make_load(*spec, flags.seed, config.vocab_size);
  }
  auto load = read_requests(flags.requests);
  if (!load)
    return load;
  if (auto ok = encode_texts(*load, model_dir, config); !ok)
    return ok.why();
  return load;
}

} // namespace troupe
