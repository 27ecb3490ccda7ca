#include "deploy/model_defaults.hpp"

#include <nlohmann/json.hpp>

#include <fstream>

namespace troupe {

namespace {

using json = nlohmann::json;

/// An object, empty if there is no such file.
result<json> read_object(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  if (!in)
    return json::object();
  auto out = json::parse(in, nullptr, false);
  if (!out.is_object())
    return failure{errc::invalid_input, path.string() + ": is no JSON object"};
  return out;
}

float number(const json& from, const char* key, float low, float high,
             float otherwise) {
  auto x = from.find(key);
  if (x == from.end() || !x->is_number())
    return otherwise;
  auto value = x->get<float>();
  return value >= low && value <= high ? value : otherwise;
}

} // namespace

result<model_defaults>
read_model_defaults(const std::filesystem::path& model_dir) {
  auto generation = read_object(model_dir / "generation_config.json");
  auto tokens = read_object(model_dir / "tokenizer_config.json");
  if (!generation)
    return generation.why();
  if (!tokens)
    return tokens.why();
  model_defaults out;
  auto sample = generation->find("do_sample");
  if (sample != generation->end() && *sample == true) {
    auto& to = out.sampling;
    to.temperature = number(*generation, "temperature", 0, 100, 1);
    to.top_p = number(*generation, "top_p", 1e-6f, 1, 1);
    to.top_k = static_cast<uint32_t>(number(*generation, "top_k", 0, 1e6f, 0));
  }
  auto bos = tokens->find("add_bos_token");
  out.add_bos = bos != tokens->end() && *bos == true;
  return out;
}

} // namespace troupe
