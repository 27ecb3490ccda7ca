#include "tests/fuzz/target.hpp"

#include "runtime/balance/plan_file.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void expert_plan(input x) {
  balance::layout_shape shape;
  shape.num_experts = 4;
  shape.num_slots = 6;
  shape.num_workers = 2;
  auto layers = balance::parse_plan(x, "it.json", shape);
  check_refusal(layers);
}

} // namespace troupe::fuzz
