#include "tests/fuzz/target.hpp"

#include "runtime/http/responses_request.hpp"
#include "runtime/http/tool_request.hpp"
#include "tests/fuzz/checks.hpp"

#include <nlohmann/json.hpp>

namespace troupe::fuzz {

namespace {

void check(const http::api_error& error) {
  check_sentence(error.message);
  CHECK(error.status >= 400 && error.status < 500);
  CHECK(is_utf8(http::render_error(error)));
}

} // namespace

void response_request(input x) {
  auto asked = http::parse_response_request(x, {});
  if (auto* error = std::get_if<http::api_error>(&asked))
    return check(*error);
  auto& response = std::get<http::response_request>(asked);
  CHECK(nlohmann::json::parse(response.repeated).is_object());
  auto& chat = response.asked;
  known_grammars known;
  for (auto style : {tool_style::fenced, tool_style::plain})
    http::grammar_of_tools(chat, style, known);
  // Its own turns stand behind themselves.
  auto before = chat.messages;
  if (auto error = http::join_turns(before, response))
    return check(*error);
  CHECK(!before.empty());
  CHECK(chat.messages.size() == 2 * before.size());
}

} // namespace troupe::fuzz
