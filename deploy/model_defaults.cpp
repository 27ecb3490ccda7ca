#include "deploy/model_defaults.hpp"

#include "runtime/text/tokenizer_config.hpp"

namespace troupe {

result<model_defaults>
read_model_defaults(const std::filesystem::path& model_dir,
                    const model_config& config, const tokenizer& tokens) {
  auto words = read_tokenizer_config(model_dir, tokens);
  if (!words)
    return words.why();
  model_defaults out;
  out.first_id = words->first_id;
  if (out.first_id && config.bos_token_id >= 0
      && *out.first_id != config.bos_token_id)
    return failure{errc::invalid_input,
                   "config.json: bos_token_id is not the token that "
                   "tokenizer_config.json adds to a text"};
  auto& from = config.generation;
  if (from.do_sample) {
    out.sampling.temperature = from.temperature;
    out.sampling.top_p = from.top_p;
    out.sampling.top_k = from.top_k;
    out.sampling.min_p = from.min_p;
    out.sampling.repetition_penalty = from.repetition_penalty;
    out.sampling.presence_penalty = from.presence_penalty;
    out.sampling.frequency_penalty = from.frequency_penalty;
  }
  return out;
}

} // namespace troupe
