#include "tests/fuzz/target.hpp"

#include "runtime/sim/fault_plan.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void fault_plan(input x) {
  const plan_scope scope{{"front", "rank-0", "worker-0"}, 5};
  auto plan = parse_fault_plan(x, "it", scope);
  check_refusal(plan);
  if (!plan)
    return;
  for (auto& fault : *plan)
    check_sentence(describe(fault));
  auto again = parse_fault_plan(render(*plan), "again", scope);
  CHECK(again && *again == *plan);
}

} // namespace troupe::fuzz
