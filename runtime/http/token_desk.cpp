#include "runtime/http/token_desk.hpp"

#include "runtime/http/admin_routes.hpp"
#include "runtime/http/api_refusals.hpp"
#include "runtime/http/token_routes.hpp"

namespace troupe::http {

reply token_desk::tokenize(std::string_view body,
                           uint32_t max_model_len) const {
  auto read = parse_tokenize_request(body);
  if (auto* error = std::get_if<api_error>(&read))
    return to_reply(*error);
  auto& asked = std::get<tokenize_request>(read);
  if (!asked.model.empty() && asked.model != options_.model)
    return to_reply(unknown_model(asked.model));
  std::vector<int32_t> ids;
  if (asked.is_chat) {
    auto chat = parse_chat_request(body, options_.defaults, options_.limits);
    if (auto* error = std::get_if<api_error>(&chat))
      return to_reply(*error);
    auto prompt = desk_.render_chat(std::get<chat_request>(chat));
    if (auto* error = std::get_if<api_error>(&prompt))
      return to_reply(*error);
    ids = std::move(std::get<chat_prompt>(prompt).ids);
  } else {
    if (auto error = desk_.no_room(asked.text, {}, "prompt"))
      return to_reply(*error);
    ids = desk_.encode_text(asked.text, asked.add_begin);
  }
  return with_body(
    render_tokens(tokens_, ids, max_model_len, asked.with_texts));
}

reply token_desk::detokenize(std::string_view body) const {
  auto text = http::detokenize(tokens_, body);
  if (auto* error = std::get_if<api_error>(&text))
    return to_reply(*error);
  return with_body(std::move(std::get<std::string>(text)));
}

} // namespace troupe::http
