#include "tests/fuzz/target.hpp"

#include "runtime/balance/load_table.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void expert_loads(input x) {
  auto all = balance::parse_loads(x, "it.csv", std::nullopt);
  check_refusal(all);
  if (!all)
    return;
  for (auto& layer : all->loads)
    for (auto load : layer)
      if (load > 1e15) // a sum that no file may hold
        return;
  auto text = balance::to_csv(*all, "some");
  auto again = balance::parse_loads(text, "it.csv", "some");
  CHECK(again);
  CHECK(balance::to_csv(*again, "some") == text);
}

} // namespace troupe::fuzz
