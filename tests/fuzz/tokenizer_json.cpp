#include "tests/fuzz/target.hpp"

#include "runtime/text/tokenizer.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void tokenizer_json(input x) {
  auto tokens = tokenizer::parse(x);
  check_refusal(tokens);
  if (!tokens)
    return;
  constexpr std::string_view text = "Ein kleiner Test, 123 \xF0\x9F\x90\xBA!\n";
  for (auto mode : {specials::plain, specials::recognised})
    for (auto id : tokens->encode(text, mode)) {
      CHECK(id >= 0 && uint32_t(id) < tokens->vocab_size());
      tokens->bytes_of(id);
    }
  CHECK(
    is_utf8(tokens->decode(tokens->encode(x.substr(0, 99), specials::plain))));
}

} // namespace troupe::fuzz
