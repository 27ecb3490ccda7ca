#include "runtime/cluster/expert_loader.hpp"

#include "runtime/model/expert_proof.hpp"
#include "runtime/planted.hpp"

#include <algorithm>

namespace troupe {

namespace {

std::string name_of(const layer_slot& x) {
  return "expert " + std::to_string(x.expert) + " of MoE layer "
         + std::to_string(x.moe_layer);
}

/// Whether they exist, and there is memory for them; one after the other is
/// read twice.
result<void> check(const shared_model& model,
                   std::span<const expert_order> orders,
                   const memory_room& room) {
  auto& config = model.config();
  expert_lists which(config.num_moe_layers());
  uint64_t bytes = 0, most = 0;
  for (auto& [to, proof] : orders) {
    if (to.moe_layer >= which.size() || to.expert >= config.n_routed_experts)
      return failure{errc::invalid_input, "the model has no " + name_of(to)};
    which[to.moe_layer] = {to.expert};
    auto one = expert_weight_bytes(model.source(), config, which);
    which[to.moe_layer].clear();
    bytes += one;
    most = std::max(most, one);
  }
  return room.check(std::to_string(orders.size()) + " experts", bytes + most);
}

} // namespace

result<std::vector<arrived_expert>>
load_experts(shared_model& model, precision activations,
             std::span<const expert_order> orders, const memory_room& room,
             const std::stop_token& stop) {
  if (auto ok = check(model, orders, room); !ok)
    return ok.why();
  std::vector<arrived_expert> out;
  auto first = model.config().first_k_dense_replace;
  for (auto& [to, proof] : orders) {
    auto expert = model.expert(activations, to.moe_layer, to.expert, stop);
    if (!expert)
      return expert.why();
    if (PLANTED(another_expert_loaded)) {
      auto other = to.expert == 0 ? 1u : to.expert - 1u;
      expert->weights
        = model.expert(activations, to.moe_layer, other, stop)->weights;
    }
    auto found = expert_digest(expert->owner->digests, first + to.moe_layer,
                               to.expert);
    if (proof != digest{} && found != proof)
      return failure{errc::invalid_input,
                     name_of(to) + " is not the one of the controller's model"};
    out.push_back({to, expert->weights, expert->owner});
  }
  return out;
}

} // namespace troupe
