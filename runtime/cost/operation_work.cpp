#include "runtime/cost/operation_work.hpp"

namespace troupe {

namespace {

using namespace kernels;

template <class... Ops>
bool is_any_of(const operation& op) {
  return (std::holds_alternative<Ops>(op) || ...);
}

kernel_family family_of(const operation& op) {
  if (is_any_of<mla_attention, mha_attention>(op))
    return kernel_family::core_attention;
  if (is_any_of<expert_mlp>(op))
    return kernel_family::experts;
  return is_any_of<linear, grouped_linear, router>(op) ? kernel_family::products
                                                       : kernel_family::other;
}

bool is_narrow(const operation& op) {
  auto is_8_bit = [](dtype x) { return x == dtype::f8_e4m3; };
  if (auto* x = std::get_if<linear>(&op))
    return is_8_bit(x->w.type);
  if (auto* x = std::get_if<expert_mlp>(&op))
    return !x->groups.empty() && is_8_bit(x->groups.front().expert.down.type);
  return false;
}

} // namespace

kernel_work work_of(const operation& op) {
  auto cost = cost_of(op);
  kernel_work out;
  // What a copy reads and writes crosses once.
  if (is_any_of<copy_in, copy_out, pack_rows>(op)) {
    out.copied = double(cost.bytes / 2);
    return out;
  }
  out.family = family_of(op);
  out.flops = double(cost.flops);
  out.bytes = double(cost.bytes);
  out.is_narrow = is_narrow(op);
  return out;
}

} // namespace troupe
