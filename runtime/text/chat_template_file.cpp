#include "runtime/text/chat_template_file.hpp"

#include "runtime/json/strict_json.hpp"
#include "runtime/text/chat_config.hpp"

#include <nlohmann/json.hpp>

#include <fstream>

namespace troupe {

namespace {

/// {"chat_template": "..."}, as processors have it.
result<chat_template_text> template_of_json(std::string_view content) {
  constexpr auto name = "chat_template.json";
  if (auto ok = check_json(name, content); !ok)
    return ok.why();
  auto root = nlohmann::json::parse(content, nullptr, false);
  auto text = root.is_object() ? root.value("chat_template", nlohmann::json())
                               : nlohmann::json();
  if (!text.is_string())
    return failure{errc::invalid_input,
                   "chat_template.json holds no text named chat_template"};
  return chat_template_text{text.get<std::string>(), name, ""};
}

} // namespace

result<std::string> read_text_file(const std::filesystem::path& path) {
  constexpr std::streamsize max_size = 16 << 20;
  std::error_code error;
  std::ifstream in;
  if (std::filesystem::is_regular_file(path, error))
    in.open(path, std::ios::binary);
  if (!in.is_open())
    return failure{errc::not_found, "cannot read " + path.string()};
  std::string content(max_size, '\0');
  in.read(content.data(), max_size);
  content.resize(static_cast<size_t>(in.gcount()));
  content.shrink_to_fit();
  return content;
}

result<chat_template_text>
find_chat_template(const std::filesystem::path& model_dir,
                   std::string_view config) {
  constexpr auto jinja = "chat_template.jinja";
  if (auto text = read_text_file(model_dir / jinja))
    return chat_template_text{std::move(*text), jinja, ""};
  if (auto text = read_text_file(model_dir / "chat_template.json"))
    return template_of_json(*text);
  if (config.empty())
    return chat_template_text{};
  auto parsed = parse_chat_config(config);
  if (!parsed)
    return parsed.why();
  return chat_template_text{std::move(parsed->chat_template),
                            "tokenizer_config.json",
                            std::move(parsed->chat_template_note)};
}

result<chat_template_text>
find_chat_template(const std::filesystem::path& model_dir) {
  auto config = read_text_file(model_dir / "tokenizer_config.json");
  return find_chat_template(model_dir, config ? *config : "");
}

} // namespace troupe
