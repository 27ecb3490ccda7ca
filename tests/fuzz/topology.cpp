#include "tests/fuzz/target.hpp"

#include "runtime/topology.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void topology(input x) {
  auto read = parse_topology(x, "it");
  check_refusal(read);
  check_refusal(parse_endpoint(x));
  if (!read)
    return;
  CHECK(validate(*read));
  auto text = render(*read);
  auto again = parse_topology(text, "again");
  CHECK(again && render(*again) == text && again->nodes == read->nodes);
  CHECK(again->units == read->units && again->limits == read->limits);
}

} // namespace troupe::fuzz
