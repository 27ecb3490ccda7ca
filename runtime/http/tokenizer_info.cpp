#include "runtime/http/tokenizer_info.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/text/chat_config.hpp"
#include "runtime/text/chat_template_file.hpp"

#include <nlohmann/json.hpp>

namespace troupe::http {

namespace {

using json = nlohmann::ordered_json;

json text_or_null(const std::string& x) {
  return x.empty() ? json() : json(x);
}

} // namespace

result<std::string>
render_tokenizer_info(const std::filesystem::path& model_dir,
                      uint32_t max_model_len, bool is_own_form) {
  auto text = read_regular_file(model_dir / "tokenizer_config.json",
                                max_chat_file_bytes);
  if (!text)
    return text.why();
  auto config = parse_chat_config(*text);
  if (!config)
    return config.why();
  auto form = find_chat_template(model_dir, *text);
  if (!form && form.why().code == errc::io)
    return form.why();
  auto is_told = form && is_own_form;
  json out = {{"bos_token", text_or_null(config->bos_token)},
              {"eos_token", text_or_null(config->eos_token)},
              {"pad_token", text_or_null(config->pad_token)},
              {"chat_template", is_told ? text_or_null(form->text) : json()},
              {"model_max_length", max_model_len}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace troupe::http
