#pragma once

/// Loads of experts for tests, skewed as those of real models are.

#include "runtime/balance/expert_layout.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace troupe::balance {

/// A few experts have several times the mean. [experts]
inline std::vector<double> made_loads(uint32_t num_experts,
                                      std::mt19937_64& rng, double skew = 0.8) {
  std::normal_distribution<double> normal;
  std::vector<double> out;
  for (uint32_t e = 0; e < num_experts; ++e)
    out.push_back(std::floor(1000 * std::exp(skew * normal(rng))));
  return out;
}

/// Each expert somewhere, the rest of the slots for anybody: also twice on a
/// worker, if `has_twins`.
inline layer_layout made_layout(const layout_shape& shape, std::mt19937_64& rng,
                                bool has_twins) {
  auto each = shape.slots_of_worker();
  for (;;) {
    layer_layout out;
    for (uint32_t s = 0; s < shape.num_slots; ++s)
      out.experts.push_back(
        s < shape.num_experts ? s : uint32_t(rng() % shape.num_experts));
    for (int tries = 0; tries < 100; ++tries) {
      std::shuffle(out.experts.begin(), out.experts.end(), rng);
      auto is_good = true;
      for (uint32_t s = 0; s < shape.num_slots && !has_twins; ++s)
        for (auto t = s / each * each; t < s; ++t)
          is_good = is_good && out.experts[t] != out.experts[s];
      if (!is_good)
        continue;
      out.shares = even_shares(shape, out.experts);
      return out;
    }
    if (!has_twins && shape.num_slots > 2 * shape.num_experts)
      return first_layout(shape);
  }
}

/// Small ones of all kinds: one slot each, pairs, many replicas, one node.
inline layout_shape made_shape(std::mt19937_64& rng) {
  for (;;) {
    layout_shape x;
    x.num_experts = 1 + uint32_t(rng() % 40);
    x.num_nodes = 1 + uint32_t(rng() % 4);
    x.num_workers = x.num_nodes * (1 + uint32_t(rng() % 6));
    x.num_slots = x.num_workers * (1 + uint32_t(rng() % 8));
    if (check_shape(x))
      return x;
  }
}

} // namespace troupe::balance
