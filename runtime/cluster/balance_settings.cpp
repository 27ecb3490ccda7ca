#include "runtime/cluster/balance_settings.hpp"

#include "runtime/checkpoint/config.hpp"
#include "runtime/topology.hpp"

#include <algorithm>

namespace troupe {

namespace {

failure invalid(std::string why) {
  return {errc::invalid_input, std::move(why)};
}

} // namespace

result<void> check_balance(const balance_settings& x, const topology& cluster,
                           const model_config& config) {
  if (x.interval.count() <= 0 || x.payback.count() <= 0 || !(x.half_life > 0)
      || x.most_copies < 2)
    return invalid("experts are balanced at intervals above 0, by loads whose "
                   "half-life is above 0, at least 2 at a time");
  auto units = cluster.all_units();
  if (std::ranges::none_of(units,
                           [](auto& u) { return u.spare_expert_slots > 0; }))
    return invalid("experts can be moved only where workers have slots to "
                   "spare (--spare-expert-slots, spare_expert_slots)");
  if (!x.first_loads)
    return {};
  auto& loads = *x.first_loads;
  if (loads.num_experts != config.n_routed_experts)
    return invalid("the loads are of " + std::to_string(loads.num_experts)
                   + " experts, and the model has "
                   + std::to_string(config.n_routed_experts));
  std::vector<uint32_t> layers;
  for (uint32_t l = 0; l < config.num_moe_layers(); ++l)
    layers.push_back(config.first_k_dense_replace + l);
  if (loads.layers != layers)
    return invalid("the loads are not of the model's layers with experts, "
                   + std::to_string(config.first_k_dense_replace) + " to "
                   + std::to_string(config.num_hidden_layers - 1));
  return {};
}

} // namespace troupe
