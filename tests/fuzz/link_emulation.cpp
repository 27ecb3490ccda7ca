#include "tests/fuzz/target.hpp"

#include "runtime/transport/link_emulation.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void link_emulation(input x) {
  auto read = parse_link_emulation(x);
  check_refusal(read);
  if (!read)
    return;
  auto again = parse_link_emulation(render(*read));
  CHECK(again && *again == *read);
  check_sentence(describe(std::span{&*read, 1}));
}

} // namespace troupe::fuzz
