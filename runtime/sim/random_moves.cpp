#include "runtime/sim/random_moves.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// The next placement as it comes to be.
class mover {
public:
  mover(const placement& now, random_stream& chance)
    : now_(now), chance_(chance), next_(now.lists()) {
    ++next_.epoch;
  }

  /// Somebody comes to an empty slot of a worker; perhaps.
  void come(uint16_t layer, worker_id worker) {
    auto slot = empty_slot(layer, worker);
    if (!slot || chance_.uniform(2) == 0)
      return;
    auto expert = uint16_t(chance_.uniform(now_.num_experts()));
    auto has_it = [&](auto& x) { return x.at.worker == worker; };
    if (std::ranges::any_of(now_.replicas_of(layer, expert), has_it))
      return;
    auto weight = uint16_t(1 + chance_.uniform(3));
    next_.replicas.push_back({layer, expert, {{worker, *slot}, weight}});
    if (chance_.uniform(2) == 0)
      leave(layer, expert, 0);
  }

  /// One of those who had the expert has it no more, if `least` others do.
  void leave(uint16_t layer, uint16_t expert, size_t least) {
    auto all = now_.replicas_of(layer, expert);
    if (all.size() <= least)
      return;
    auto& gone = all[chance_.uniform(all.size())];
    std::erase_if(next_.replicas, [&](auto& x) {
      return x.moe_layer == layer && x.replica.at == gone.at;
    });
  }

  placement_lists take() {
    return std::move(next_);
  }

private:
  /// Nothing if all hold somebody.
  std::optional<uint16_t> empty_slot(uint16_t layer, worker_id worker) const {
    auto held = now_.experts_of(worker).at(layer);
    held.resize(now_.slots_of(worker), no_expert);
    auto i = std::ranges::find(held, no_expert);
    return i == held.end()
             ? std::nullopt
             : std::optional{static_cast<uint16_t>(i - held.begin())};
  }

  const placement& now_;
  random_stream& chance_;
  placement_lists next_;
};

} // namespace

placement_lists draw_moves(const placement& now, node_id to,
                           random_stream& chance) {
  mover out{now, chance};
  for (uint16_t layer = 0; layer < now.num_moe_layers(); ++layer) {
    for (uint32_t w = 0; w < now.num_workers(); ++w)
      if (now.node_of(worker_id(w)) == to)
        out.come(layer, worker_id(w));
    // So that there is room again.
    auto expert = uint16_t(chance.uniform(now.num_experts()));
    if (chance.uniform(2) == 0)
      out.leave(layer, expert, 1);
  }
  return out.take();
}

} // namespace troupe
