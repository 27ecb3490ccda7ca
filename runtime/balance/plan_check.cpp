#include "runtime/balance/plan_check.hpp"

#include "kernels/check.hpp"
#include "runtime/formatted.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace troupe::balance {

namespace {

// What rounding may add up to: of a sum of shares, of a load.
constexpr double rounding = 1e-5;

failure invalid(std::string message) {
  return {errc::invalid_input, std::move(message)};
}

result<void> check_experts(const layout_shape& shape,
                           std::span<const uint32_t> experts, bool may_twice) {
  if (experts.size() != shape.num_slots)
    return invalid(
      formatted("%zu slots instead of %u", experts.size(), shape.num_slots));
  std::vector<uint32_t> last(shape.num_experts, UINT32_MAX);
  for (uint32_t s = 0; s < shape.num_slots; ++s) {
    auto e = experts[s];
    auto worker = shape.worker_of(s);
    if (e >= shape.num_experts)
      return invalid(
        formatted("slot %u is for expert %u of %u", s, e, shape.num_experts));
    if (last[e] == worker && !may_twice)
      return invalid(formatted("GPU %u has expert %u twice", worker, e));
    last[e] = worker;
  }
  auto missing = std::ranges::find(last, UINT32_MAX);
  if (missing != last.end())
    return invalid(
      formatted("expert %zu is nowhere", size_t(missing - last.begin())));
  return {};
}

/// Follows the steps from slot to slot.
class step_walk {
public:
  explicit step_walk(const layer_state& x)
    : flow_(x.shape, x.present->experts, x.loads),
      experts_(x.present->experts) {
    fullest_ = flow_.solve();
    for (uint32_t e = 0; e < x.shape.num_experts; ++e)
      least_.push_back(std::min(flow_.count_of(e), x.shape.least_replicas));
  }

  result<void> take(const layout_step& step) {
    auto& shape = flow_.shape();
    for (auto x : {std::optional{step.first}, step.second}) {
      if (!x)
        continue;
      if (x->slot >= shape.num_slots || x->expert >= shape.num_experts)
        return invalid("it names a slot or an expert that there is not");
      if (experts_[x->slot] == x->expert)
        return invalid("it changes nothing");
      experts_[x->slot] = x->expert;
    }
    if (auto ok = check_experts(shape, experts_, true); !ok)
      return ok;
    flow_ = slot_flow{shape, experts_, all_loads()};
    for (uint32_t e = 0; e < shape.num_experts; ++e)
      if (flow_.count_of(e) < least_[e])
        return invalid(formatted("expert %u has %u replicas left instead of %u",
                                 e, flow_.count_of(e), least_[e]));
    auto now = flow_.solve();
    if (now > fullest_ * (1 + rounding))
      return invalid(formatted("the fullest GPU gets %.6g rows instead of %.6g",
                               now, fullest_));
    fullest_ = now;
    return {};
  }

  const std::vector<uint32_t>& experts() const {
    return experts_;
  }

private:
  std::vector<double> all_loads() const {
    std::vector<double> out;
    for (uint32_t e = 0; e < flow_.shape().num_experts; ++e)
      out.push_back(flow_.load_of(e));
    return out;
  }

  slot_flow flow_;
  std::vector<uint32_t> experts_;
  std::vector<uint32_t> least_; ///< [experts] replicas.
  double fullest_ = 0;
};

result<void> check_layout(const layout_shape& shape, const layer_layout& x) {
  if (auto ok = check_experts(shape, x.experts, false); !ok)
    return ok;
  if (x.shares.size() != x.experts.size())
    return invalid(
      formatted("%zu shares for %zu slots", x.shares.size(), x.experts.size()));
  std::vector<double> sums(shape.num_experts);
  for (size_t s = 0; s < x.shares.size(); ++s) {
    if (!(x.shares[s] >= -rounding && x.shares[s] <= 1 + rounding))
      return invalid(
        formatted("slot %zu has a share that is not from 0 to 1", s));
    sums[x.experts[s]] += x.shares[s];
  }
  for (size_t e = 0; e < sums.size(); ++e)
    if (std::abs(sums[e] - 1) > rounding)
      return invalid(
        formatted("the shares of expert %zu add up to %g", e, sums[e]));
  return {};
}

} // namespace

result<void> check_plan(const layer_state& x, const layer_plan& plan) {
  if (auto ok = check_layout(x.shape, plan.layout); !ok)
    return ok;
  if (!x.present)
    return plan.steps.empty()
             ? result<void>{}
             : invalid("there are steps, and nothing they could start from");
  step_walk walk{x};
  for (size_t i = 0; i < plan.steps.size(); ++i)
    if (auto ok = walk.take(plan.steps[i]); !ok)
      return invalid(
        formatted("step %zu: %s", i + 1, ok.why().message.c_str()));
  if (walk.experts() != plan.layout.experts)
    return invalid("the steps do not lead to the layout");
  auto before = worker_loads(x.shape, *x.present, x.loads);
  auto after = worker_loads(x.shape, plan.layout, x.loads);
  if (std::ranges::max(after) > std::ranges::max(before) * (1 + rounding))
    return invalid("with its shares a GPU is fuller than any was before");
  return {};
}

layer_plan checked_policy::plan(const layer_state& x) {
  refusal_.reset();
  auto out = first_.plan(x);
  auto ok = check_plan(x, out);
  if (ok)
    return out;
  refusal_ = ok.why();
  return otherwise_.plan(x);
}

} // namespace troupe::balance
