#include "runtime/balance/expert_loads.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::balance {

expert_loads::expert_loads(std::vector<uint32_t> layers, uint32_t num_experts,
                           double half_life)
  : aged_(std::move(layers), num_experts, half_life), half_life_(half_life) {
}

void expert_loads::hear(uint32_t source, uint64_t incarnation,
                        std::span<const uint64_t> counts) {
  auto num_experts = size_t{table().num_experts};
  auto num_layers = table().layers.size();
  if (counts.size() != num_layers * num_experts)
    return; // it has no ranks
  auto& last = sources_[source];
  if (last.incarnation != incarnation || last.counts.empty())
    last = {incarnation, std::vector<uint64_t>(counts.size())};
  std::vector<uint32_t> more(num_experts);
  for (size_t layer = 0; layer < num_layers; ++layer) {
    for (size_t e = 0; e < num_experts; ++e) {
      auto& was = last.counts[layer * num_experts + e];
      auto now = std::max(was, counts[layer * num_experts + e]);
      more[e] = static_cast<uint32_t>(
        std::min<uint64_t>(now - was, std::numeric_limits<uint32_t>::max()));
      was = now;
    }
    aged_.see(layer, more);
  }
}

void expert_loads::age(double seconds) {
  CHECK(seconds >= 0);
  aged_.age(seconds);
  // What comes meanwhile is aged by half of it, on average.
  auto kept = std::exp2(-seconds / half_life_);
  seconds_ = seconds_ * kept + (1 - kept) * half_life_ / std::log(2.0);
}

} // namespace troupe::balance
