#include "tests/fuzz/target.hpp"

#include "runtime/http/openai_request.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void completion_request(input x) {
  auto asked = http::parse_text_request(x, {});
  if (auto* error = std::get_if<http::api_error>(&asked)) {
    check_sentence(error->message);
    CHECK(error->status >= 400 && error->status < 500);
    CHECK(is_utf8(http::render_error(*error)));
    return;
  }
  CHECK(!std::get<http::text_request>(asked).prompts.empty());
}

} // namespace troupe::fuzz
