#pragma once

/// Fills and empties the slots of a worker while it serves, as the placer says:
/// a part of the worker's actor, which hands on what concerns them.

#include "actors/cast.hpp"

#include <stop_token>

namespace troupe {

class slot_keeper {
public:
  /// `worker` outlives this and is its actor's, `self`.
  slot_keeper(const node_context& context, std::shared_ptr<node_parts> parts,
              worker_parts& worker, const expert_worker& self);

  void change(const change_slots& msg);
  void take(const experts_loaded& msg);
  void empty(const slots_unused& msg);

private:
  void load(const change_slots& msg);
  void retire(const change_slots& msg);
  void let_go(const std::vector<layer_slot>& all);
  void answer(uint32_t change, slots_step step, const std::string& failure);
  void count();

  const node_context context_;
  const std::shared_ptr<node_parts> parts_;
  worker_parts& worker_;
  const weak_handle<expert_worker> self_;
  uint32_t loading_ = 0;     ///< The change whose experts are; 0: none.
  std::stop_source no_more_; ///< Of what is loading.
  gauge free_;               ///< Slots.
  gauge filling_;
  gauge serving_;
  gauge retiring_;
};

} // namespace troupe
