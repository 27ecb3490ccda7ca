#include "deploy/model_defaults.hpp"

#include "runtime/json/field_reader.hpp"
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

result<void> override_defaults(std::string_view text, sampling_params& to) {
  auto in = field_reader::parse("--override-generation-config", text);
  if (!in)
    return in.why();
  auto read = [&](const char* name, double least, double most, float& value) {
    value = static_cast<float>(in->number_or(name, least, most, value));
  };
  read("temperature", 0, 2, to.temperature);
  read("top_p", 1e-6, 1, to.top_p);
  to.top_k = in->integer_or("top_k", 0, 1 << 24, to.top_k);
  read("min_p", 0, 1, to.min_p);
  read("repetition_penalty", 0.01, 100, to.repetition_penalty);
  read("presence_penalty", -2, 2, to.presence_penalty);
  read("frequency_penalty", -2, 2, to.frequency_penalty);
  in->refuse_unknown({});
  if (!in->trouble().empty())
    return failure{errc::invalid_input, in->trouble()};
  return {};
}

} // namespace troupe
