#include "runtime/text/chat_config.hpp"

#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

#include <optional>

namespace troupe {

namespace {

using nlohmann::json;

/// A token is a string or an object with its content.
std::optional<std::string> token_at(const json& root, const char* name) {
  auto it = root.find(name);
  if (it == root.end())
    return std::nullopt;
  const json* x = &*it;
  if (x->is_object() && x->contains("content"))
    x = &(*x)["content"];
  if (!x->is_string())
    return std::nullopt;
  return x->get<std::string>();
}

/// A template is a string, or the one named "default" of a list.
std::string template_of(const json& root) {
  auto it = root.find("chat_template");
  if (it == root.end())
    return {};
  if (it->is_string())
    return it->get<std::string>();
  if (it->is_array())
    for (auto& x : *it)
      if (x.is_object() && x.value("name", json{}) == "default")
        return token_at(x, "template").value_or("");
  return {};
}

/// What else stands there when there is no template to be had.
std::string note_of(const json& root) {
  auto it = root.find("chat_template");
  if (it == root.end() || it->is_null() || it->is_string())
    return {};
  return it->is_array() ? "none of the model's chat templates is named default"
                        : "the model's chat_template is neither a text nor a "
                          "list of named ones";
}

} // namespace

result<chat_config> parse_chat_config(std::string_view text) {
  auto parsed = parse_json("tokenizer_config.json", text);
  if (!parsed)
    return parsed.why();
  auto& root = *parsed;
  if (!root.is_object())
    return failure{errc::invalid_input,
                   "tokenizer_config.json is not a JSON object"};
  auto bos = token_at(root, "bos_token");
  auto eos = token_at(root, "eos_token");
  if (!bos || !eos)
    return failure{errc::invalid_input, "tokenizer_config.json does not name "
                                        "bos_token and eos_token"};
  auto chat_template = template_of(root);
  auto note = chat_template.empty() ? note_of(root) : "";
  return chat_config{*bos, *eos, std::move(chat_template),
                     token_at(root, "pad_token").value_or(""), note};
}

} // namespace troupe
