#include "tests/fuzz/target.hpp"

#include "runtime/http/messages_request.hpp"
#include "runtime/http/tool_request.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

namespace {

void check(const http::api_error& error) {
  check_sentence(error.message);
  CHECK(error.status >= 400 && error.status < 500);
  CHECK(is_utf8(http::render_error(error)));
}

} // namespace

void messages_request(input x) {
  auto asked = http::parse_messages_request(x, false, {});
  auto counted = http::parse_messages_request(x, true, {});
  if (auto* error = std::get_if<http::api_error>(&asked)) {
    check(*error);
    if (auto* other = std::get_if<http::api_error>(&counted))
      check(*other);
    return;
  }
  // Who only counts asks for less.
  CHECK(std::holds_alternative<http::chat_request>(counted));
  auto& chat = std::get<http::chat_request>(asked);
  CHECK(!chat.messages.empty());
  CHECK(chat.json_arguments && chat.options.max_tokens > 0);
  known_grammars known;
  for (auto style : {tool_style::fenced, tool_style::plain})
    http::grammar_of_tools(chat, style, known);
}

} // namespace troupe::fuzz
