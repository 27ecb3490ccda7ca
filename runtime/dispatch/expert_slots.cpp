#include "runtime/dispatch/expert_slots.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <set>

namespace troupe {

expert_slots::expert_slots(const placement& map, worker_id worker,
                           uint32_t num_dense)
  : oldest_(map.epoch()), newest_(map.epoch()), num_dense_(num_dense),
    slots_(map.num_moe_layers()) {
  for (auto& layer : slots_) {
    layer.resize(map.slots_of(worker));
    counts_[size_t(state::free)] += layer.size();
  }
  auto held = map.experts_of(worker);
  for (size_t i = 0; i < held.size(); ++i)
    for (size_t slot = 0; slot < held[i].size(); ++slot)
      if (held[i][slot] != no_expert) {
        auto& x = slots_[i][slot];
        x.expert = static_cast<uint16_t>(held[i][slot]);
        x.from = oldest_;
        set(x, state::serving);
      }
}

void expert_slots::set(entry& x, state to) {
  --counts_[size_t(x.what)];
  ++counts_[size_t(to)];
  x.what = to;
  if (to == state::free)
    x = {};
}

bool expert_slots::is_there(const layer_slot& x) const {
  return x.moe_layer < slots_.size() && x.slot < slots_[x.moe_layer].size();
}

expert_slots::entry& expert_slots::at(const layer_slot& x, state expected) {
  CHECK(is_there(x) && entry_of(x).what == expected);
  return entry_of(x);
}

template <class Fn>
void expert_slots::for_each(Fn fn) {
  for (size_t i = 0; i < slots_.size(); ++i)
    for (size_t slot = 0; slot < slots_[i].size(); ++slot) {
      auto& x = slots_[i][slot];
      fn(x, layer_slot{uint16_t(i), uint16_t(slot), x.expert});
    }
}

// -- rows ---------------------------------------------------------------------

bool expert_slots::answers(uint32_t moe_layer, uint32_t slot, uint32_t expert,
                           uint32_t epoch) const {
  auto& x = slots_[moe_layer][slot];
  auto is_there = x.what == state::verified || x.what == state::serving;
  return is_there && x.expert == expert && epoch >= x.from && epoch < x.until;
}

std::optional<rows_fault> expert_slots::judge(uint32_t epoch, uint32_t layer,
                                              const slab_section& rows) const {
  if (layer < num_dense_ || layer - num_dense_ >= slots_.size())
    return rows_fault::unknown_layer;
  if (epoch < oldest_ || epoch > uint64_t{newest_} + 1)
    return rows_fault::unknown_epoch;
  CHECK(rows.experts.size() == rows.slots.size());
  for (size_t i = 0; i < rows.slots.size(); ++i) {
    auto slot = rows.slots[i].slot;
    if (slot >= slots_[layer - num_dense_].size())
      return rows_fault::unknown_slot;
    if (!answers(layer - num_dense_, slot, rows.experts[i], epoch))
      return rows_fault::other_occupant;
  }
  return std::nullopt;
}

// -- changes ------------------------------------------------------------------

result<void> expert_slots::load(const std::vector<layer_slot>& all) {
  std::set<std::pair<uint16_t, uint16_t>> taken;
  for (auto& x : all) {
    auto where = "slot " + std::to_string(x.slot) + " of MoE layer "
                 + std::to_string(x.moe_layer);
    if (!is_there(x))
      return failure{errc::invalid_input, "there is no " + where};
    if (entry_of(x).what != state::free
        || !taken.insert({x.moe_layer, x.slot}).second)
      return failure{errc::invalid_input, where + " is not free"};
  }
  for (auto& x : all) {
    auto& to = at(x, state::free);
    to.expert = x.expert;
    set(to, state::loading);
  }
  return {};
}

void expert_slots::verify(const std::vector<layer_slot>& all) {
  for (auto& x : all) {
    auto& to = at(x, state::loading);
    to.from = newest_ + 1;
    set(to, state::verified);
  }
}

std::vector<layer_slot> expert_slots::drop() {
  std::vector<layer_slot> out;
  for_each([&](entry& x, const layer_slot& where) {
    if (x.what != state::loading && x.what != state::verified)
      return;
    out.push_back(where);
    set(x, state::free);
  });
  return out;
}

void expert_slots::serve(uint32_t epoch,
                         const std::vector<layer_slot>& leaving) {
  if (epoch <= newest_)
    return;
  newest_ = epoch;
  for (auto& x : leaving)
    if (is_there(x) && entry_of(x).what == state::serving)
      entry_of(x).until = epoch;
  for_each([&](entry& x, const layer_slot&) {
    if (x.what != state::verified)
      return;
    x.from = epoch;
    set(x, state::serving);
  });
}

std::vector<layer_slot> expert_slots::retire(uint32_t epoch) {
  oldest_ = std::max(oldest_, std::min(epoch, newest_));
  std::vector<layer_slot> out;
  for_each([&](entry& x, const layer_slot& where) {
    if (x.what != state::serving || x.until > oldest_)
      return;
    out.push_back(where);
    set(x, state::retiring);
  });
  return out;
}

void expert_slots::free(const std::vector<layer_slot>& all) {
  for (auto& x : all)
    set(at(x, state::retiring), state::free);
}

} // namespace troupe
