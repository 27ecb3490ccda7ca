#include "tests/fuzz/target.hpp"

#include "runtime/text/tokenizer_config.hpp"
#include "tests/fuzz/bundled_tokenizer.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void tokenizer_config(input x) {
  check_refusal(parse_tokenizer_config(x, bundled()));
}

} // namespace troupe::fuzz
