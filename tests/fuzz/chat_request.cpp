#include "tests/fuzz/target.hpp"

#include "runtime/http/openai_request.hpp"
#include "runtime/http/tool_request.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void chat_request(input x) {
  auto asked = http::parse_chat_request(x, {});
  if (auto* error = std::get_if<http::api_error>(&asked)) {
    check_sentence(error->message);
    CHECK(error->status >= 400 && error->status < 500);
    CHECK(is_utf8(http::render_error(*error)));
    return;
  }
  auto& chat = std::get<http::chat_request>(asked);
  CHECK(!chat.messages.empty());
  known_grammars known;
  for (auto style : {tool_style::fenced, tool_style::plain})
    http::grammar_of_tools(chat, style, known);
}

} // namespace troupe::fuzz
