#include "runtime/cluster/leave_plan.hpp"

#include "runtime/cluster/repair_plan.hpp"

namespace troupe {

namespace {

/// What plan_repair finds, on top of what `next` has; of the same epoch.
bool add_repair(placement& rest, const placement& goal,
                const std::set<node_id>& closed, leave_plan& out) {
  auto more = plan_repair(rest, goal, closed);
  if (!more)
    return rest.num_waiting() == 0;
  auto before = rest.lists().replicas.size();
  out.num_moved += static_cast<uint32_t>(more->next.replicas.size() - before);
  out.next.replicas = more->next.replicas;
  more->next.epoch = rest.epoch();
  auto then = rest.with(more->next);
  CHECK(then);
  rest = std::move(*then);
  return !more->leaves_waiting;
}

} // namespace

result<leave_plan> plan_leave(const placement& now, const placement& goal,
                              std::set<node_id> closed, node_id node) {
  if (now.num_waiting() > 0)
    return failure{errc::overloaded,
                   "experts that were lost are being placed anew"};
  closed.insert(node);
  auto rest = now.left_by({node});
  leave_plan out{rest.lists(), 0};
  out.next.epoch = now.epoch() + 1;
  auto num_alone = rest.num_waiting();
  if (!add_repair(rest, goal, closed, out))
    return failure{errc::refused,
                   "other workers have no room for the "
                     + std::to_string(num_alone)
                     + " experts that only its workers hold: more "
                       "spare_expert_slots would make some"};
  add_repair(rest, goal, closed, out);
  return out;
}

} // namespace troupe
