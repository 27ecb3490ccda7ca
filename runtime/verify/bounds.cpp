#include "runtime/verify/bounds.hpp"

namespace troupe {

namespace {

struct row {
  std::string_view set;
  std::string_view numerics;
  golden_bounds bounds;
};

/// 2 to 20 times of what correct engines were measured to differ that round in
/// these places or sum in another order. tests/data/golden/bounds.json is the
/// same table.
constexpr row rows[] = {
  {"golden",
   "fp32",
   {{1e-3, 3e-5}, {1e-3, 3e-5}, 0, 2e-5, 1e-4, 0.002, 0, 1e-4, 0.999, 2e-5}},
  {"golden",
   "bf16-combine",
   {{0.15, 6e-3}, {2, 0.1}, 0.02, 4e-3, 0.02, 0.3, 0, 0.01, 0.99, 5e-3}},
  {"golden",
   "bf16",
   {{1.5, 0.06}, {6, 0.15}, 0.15, 0.06, 0.15, 3, 0, 0.1, 0.97, 0.1}},
  {"golden-fp8act",
   "fp32",
   {{1e-3, 3e-5}, {8, 0.25}, 0.25, 2e-5, 1e-4, 0.002, 1e-6, 1e-3, 0.5, 0.05}},
  {"golden-fp8act",
   "bf16-combine",
   {{4, 0.2}, {8, 0.25}, 0.25, 0.06, 0.15, 3, 0, 0.01, 0.5, 0.05}},
  {"golden-fp8act",
   "bf16",
   {{5, 0.3}, {8, 0.3}, 0.4, 0.1, 0.2, 3, 0, 0.1, 0.9, 0.2}},
};

} // namespace

std::optional<golden_bounds> find_bounds(std::string_view set,
                                         std::string_view numerics) {
  for (auto& x : rows)
    if (x.set == set && x.numerics == numerics)
      return x.bounds;
  return std::nullopt;
}

} // namespace troupe
