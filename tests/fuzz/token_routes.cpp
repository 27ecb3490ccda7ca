#include "tests/fuzz/target.hpp"

#include "runtime/http/token_routes.hpp"
#include "tests/fuzz/bundled_tokenizer.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

namespace {

template <class T>
void check(const http::parsed<T>& x) {
  if (auto* error = std::get_if<http::api_error>(&x)) {
    check_sentence(error->message);
    CHECK(is_utf8(http::render_error(*error)));
  }
}

} // namespace

void token_routes(input x) {
  auto asked = http::parse_tokenize_request(x);
  check(asked);
  if (auto* text = std::get_if<http::tokenize_request>(&asked)) {
    auto ids = bundled().encode(text->text, specials::recognised);
    CHECK(is_utf8(http::render_tokens(bundled(), ids, 100, true)));
  }
  check(http::detokenize(bundled(), x));
}

} // namespace troupe::fuzz
