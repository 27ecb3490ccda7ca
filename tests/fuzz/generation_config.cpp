#include "tests/fuzz/target.hpp"

#include "runtime/checkpoint/generation_config.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void generation_config(input x) {
  auto read = parse_generation_config(x, 1000);
  check_refusal(read);
  if (!read)
    return;
  CHECK(read->temperature >= 0 && read->temperature <= 100);
  CHECK(read->top_p > 0 && read->top_p <= 1);
  CHECK(read->min_p >= 0 && read->min_p <= 1);
  for (auto id : read->eos_token_ids)
    CHECK(id >= 0 && id < 1000);
}

} // namespace troupe::fuzz
