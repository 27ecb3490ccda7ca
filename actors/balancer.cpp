// Moves experts while the company serves. All decisions are expert_mover's and
// plan_experts'; this actor asks the placer for what they say.

#include "actors/cast.hpp"
#include "actors/newest_placement.hpp"
#include "runtime/cluster/balance_settings.hpp"
#include "runtime/cluster/expert_mover.hpp"
#include "runtime/formatted.hpp"

#include <algorithm>
#include <numeric>
#include <span>

namespace troupe {

namespace {

struct balancer_state {
  static constexpr const char* name = "balancer";

  balancer::pointer self = nullptr;
  node_context context;
  std::shared_ptr<const node_parts> parts;
  std::shared_ptr<const balance_settings> settings;
  std::function<clock::instant()> now;
  /// [units] Once the cluster serves.
  std::vector<std::unique_ptr<expert_mover>> units;

  placement newest(unit_id unit) const {
    return newest_placement(*context.here->read(), unit);
  }

  expert_mover::terms terms_of(unit_id unit) const {
    auto& config = parts->config;
    expert_mover::terms out;
    out.unit = unit;
    out.layers.resize(config.num_moe_layers());
    std::iota(out.layers.begin(), out.layers.end(),
              config.first_k_dense_replace);
    out.num_experts = config.n_routed_experts;
    out.least_replicas = least_replicas(parts->maps[unit],
                                        parts->cluster.later_nodes());
    auto activations = parts->cluster.activations;
    out.expert_bytes = 3.0 * config.hidden_size * config.moe_intermediate_size
                       * (config.fp8 ? 1 : 2);
    out.row_bytes
      = config.dispatch_layout(activations).row_bytes()
        + double(config.hidden_size)
            * double(kernels::size_of(config.combine_type(activations)));
    return out;
  }

  // -- events -----------------------------------------------------------------

  void start() {
    for (unit_id unit = 0; unit < parts->maps.size(); ++unit)
      units.push_back(std::make_unique<expert_mover>(
        *settings, terms_of(unit), now(), parts->cluster.later_nodes()));
  }

  void hear(const node_report& msg) {
    if (!msg.loads)
      return;
    std::span rows = msg.loads->expert_rows;
    auto each = size_t{parts->config.num_moe_layers()}
                * parts->config.n_routed_experts;
    for (size_t unit = 0; unit < units.size() && rows.size() >= each; ++unit) {
      units[unit]->hear(msg.node, msg.incarnation, rows.first(each), now());
      rows = rows.subspan(each);
    }
  }

  void lose(const node_lost& msg) {
    for (auto& x : units)
      x->lost(msg.node, now());
  }

  void take_back(const node_back& msg) {
    for (auto& x : units)
      x->back(msg.node, now());
  }

  void take(const node_leaving& msg) {
    for (auto& x : units)
      if (msg.stays)
        x->stays(msg.node, now());
      else
        x->leaves(msg.node, now());
  }

  void look_at_clock() {
    for (unit_id unit = 0; unit < units.size(); ++unit)
      if (units[unit]->is_due(now()))
        if (auto matter = units[unit]->tick(newest(unit), now()))
          plan(unit, std::move(*matter));
  }

  void take(const experts_planned& msg) {
    if (!msg.plan->refusal.empty())
      context.log->warning("a plan of the policy from outside was refused, "
                           "and the built-in one acts: "
                           + msg.plan->refusal);
    units[msg.unit]->planned(msg.round, *msg.plan, newest(msg.unit), now());
    carry_out(msg.unit);
  }

  void hear(const placement_changed& msg) {
    auto what = msg.epoch != 0
                  ? result<uint32_t>{msg.epoch}
                  : result<uint32_t>{failure{errc::step_failed, msg.failure}};
    if (!what)
      context.log->warning("experts are not moved: " + msg.failure);
    units[msg.unit]->changed(msg.round, what, newest(msg.unit), now());
    carry_out(msg.unit);
  }

  // -- actions ----------------------------------------------------------------

  /// Somewhere else, since it may take long.
  void plan(unit_id unit, balance::plan_matter matter) {
    auto job = [unit, matter = std::move(matter), round = units[unit]->round(),
                settings = settings, now = now,
                to = weak_handle<balancer>{balancer{self}}] {
      auto plan = balance::plan_experts(matter, settings->policy.get(), now);
      to.tell(experts_planned{
        unit, round,
        std::make_shared<const balance::expert_plan>(std::move(plan))});
    };
    if (context.run_blocking)
      context.run_blocking(job);
    else
      job();
  }

  void carry_out(unit_id unit) {
    for (auto& x : units[unit]->take_moves())
      context.log->info(sentence_of(x));
    std::vector<balance_status> all;
    for (auto& x : units)
      all.push_back(x->status());
    auto list = context.here->read();
    tell(list->gateway,
         experts_balanced{std::make_shared<const balance_status>(merged(all))});
    auto next = units[unit]->take_change();
    if (!next)
      return;
    using callback = std::function<void(const result<uint32_t>&)>;
    auto answer = [unit, round = units[unit]->round(),
                   to = weak_handle<balancer>{balancer{self}}](auto& x) {
      to.tell(x ? placement_changed{unit, round, *x, {}}
                : placement_changed{unit, round, 0, x.why().message});
    };
    tell(list->placer,
         change_placement{
           std::make_shared<const placement_lists>(std::move(*next)),
           std::make_shared<const callback>(std::move(answer))});
  }

  static std::string sentence_of(const expert_move& x) {
    auto from = x.from ? " from worker " + std::to_string(*x.from) : "";
    return formatted("expert %u of layer %u has come%s to worker %u: %s; its "
                     "part is %.3f of the mean",
                     x.expert, x.layer, from.c_str(), unsigned{x.to},
                     x.reason.c_str(), x.gain);
  }
};

balancer::behavior_type
balancer_behavior(balancer::stateful_pointer<balancer_state> self,
                  const node_context& context,
                  std::shared_ptr<const node_parts> parts,
                  std::shared_ptr<const balance_settings> settings) {
  auto& state = self->state;
  state.self = self;
  state.context = context;
  state.parts = std::move(parts);
  state.settings = std::move(settings);
  state.now = [&clock = self->clock()] { return clock.now(); };
  return {
    [=](const node_report& msg) { self->state.hear(msg); },
    [=](const experts_planned& msg) { self->state.take(msg); },
    [=](const placement_changed& msg) { self->state.hear(msg); },
    [=](cluster_started) { self->state.start(); },
    [=](const node_lost& msg) { self->state.lose(msg); },
    [=](const node_back& msg) { self->state.take_back(msg); },
    [=](const node_leaving& msg) { self->state.take(msg); },
    [=](tick) { self->state.look_at_clock(); },
  };
}

} // namespace

balancer spawn_balancer(caf::actor_system& system, const node_context& context,
                        std::shared_ptr<const node_parts> parts,
                        std::shared_ptr<const balance_settings> settings) {
  return system.spawn(balancer_behavior, context, std::move(parts),
                      std::move(settings));
}

} // namespace troupe
