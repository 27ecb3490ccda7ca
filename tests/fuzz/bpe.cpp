#include "tests/fuzz/target.hpp"

#include "runtime/text/detokenizer.hpp"
#include "tests/fuzz/bundled_tokenizer.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void bpe(input x) {
  auto& tokens = bundled();
  auto want = repaired_utf8(x);
  for (auto mode : {specials::plain, specials::recognised}) {
    auto ids = tokens.encode(x, mode);
    CHECK(tokens.decode(ids) == want);
    detokenizer stream{tokens};
    std::string text;
    for (auto id : ids) {
      text += stream.push(id);
      CHECK(is_utf8(text));
    }
    CHECK(text + stream.finish() == want);
  }
}

} // namespace troupe::fuzz
