#include "tests/fuzz/target.hpp"

#include "runtime/sim/machine_file.hpp"
#include "runtime/sim/request_load.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void requests_file(input x) {
  check_refusal(parse_load(x));
  check_refusal(parse_world_model(x, "it"));
  auto load = parse_requests(x, "it");
  check_refusal(load);
  if (!load)
    return;
  auto text = render(*load);
  auto again = parse_requests(text, "again");
  CHECK(again && render(*again) == text);
}

} // namespace troupe::fuzz
