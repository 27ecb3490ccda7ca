#include "runtime/text/chat_template_file.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

namespace troupe {

namespace {

/// {"chat_template": "..."}, as processors have it.
result<chat_template_text> template_of_json(std::string_view content) {
  constexpr auto name = "chat_template.json";
  auto parsed = parse_json(name, content);
  if (!parsed)
    return parsed.why();
  auto& root = *parsed;
  auto text = root.is_object() ? root.value("chat_template", nlohmann::json())
                               : nlohmann::json();
  if (!text.is_string())
    return failure{errc::invalid_input,
                   "chat_template.json holds no text named chat_template"};
  return chat_template_text{text.get<std::string>(), name, ""};
}

} // namespace

result<chat_template_text>
find_chat_template(const std::filesystem::path& model_dir,
                   std::string_view config) {
  constexpr auto jinja = "chat_template.jinja";
  auto text = read_regular_file(model_dir / jinja, max_chat_file_bytes);
  if (text)
    return chat_template_text{std::move(*text), jinja, ""};
  if (text.why().code != errc::not_found)
    return text.why();
  text = read_regular_file(model_dir / "chat_template.json",
                           max_chat_file_bytes);
  if (text)
    return template_of_json(*text);
  if (text.why().code != errc::not_found)
    return text.why();
  if (config.empty())
    return chat_template_text{};
  auto parsed = parse_chat_config(config);
  if (!parsed)
    return parsed.why();
  return chat_template_text{std::move(parsed->chat_template),
                            "tokenizer_config.json",
                            std::move(parsed->chat_template_note)};
}

result<chat_files> read_chat_files(const std::filesystem::path& model_dir) {
  auto text = read_regular_file(model_dir / "tokenizer_config.json",
                                max_chat_file_bytes);
  if (!text)
    return text.why();
  auto config = parse_chat_config(*text);
  if (!config)
    return config.why();
  auto form = find_chat_template(model_dir, *text);
  if (!form && form.why().code == errc::io)
    return form.why(); // no file to read is no template to refuse
  return chat_files{std::move(*config), std::move(form)};
}

result<chat_template_text>
find_chat_template(const std::filesystem::path& model_dir) {
  auto config = read_regular_file(model_dir / "tokenizer_config.json",
                                  max_chat_file_bytes);
  if (!config && config.why().code != errc::not_found)
    return config.why();
  return find_chat_template(model_dir, config ? *config : "");
}

} // namespace troupe
