#pragma once

/// What the slots of a worker hold, and from which placement to which they
/// answer for it. A plain class.
///
///            load                verify            serve
///   free ----------> loading ----------> verified -------> serving
///     ^               | drop              | drop             | leave, retire
///     +---------------+-------------------+                  v
///     +---------------------------------------- free ---- retiring
///
/// A rank plans with the placement of some epoch, which may not be the worker's
/// newest: rows say by which epoch they were planned and which expert they want
/// in which slot, and a slot answers for no other.

#include "runtime/dispatch/placement.hpp"
#include "runtime/dispatch/rows_fault.hpp"

#include <array>
#include <optional>
#include <vector>

namespace troupe {

/// A slot of some worker, and who is or comes to be in it.
struct layer_slot {
  uint16_t moe_layer = 0;
  uint16_t slot = 0;
  uint16_t expert = 0; ///< Logical.

  friend bool operator==(const layer_slot&, const layer_slot&) = default;
};

class expert_slots {
public:
  enum class state : uint8_t { free, loading, verified, serving, retiring };
  static constexpr size_t num_states = 5;

  expert_slots() = default;

  /// Of `worker`, which serves by `map`. Layers of rows are the model's, of
  /// which the first `num_dense` have no experts.
  expert_slots(const placement& map, worker_id worker, uint32_t num_dense);

  /// Says why the worker cannot run `rows`; nothing if it can. Rows of an
  /// epoch from the oldest that is not retired to the newest known and one
  /// more are judged by slot and occupant.
  std::optional<rows_fault> judge(uint32_t epoch, uint32_t layer,
                                  const slab_section& rows) const;

  /// These are being loaded from now on. Error: invalid_input, and nothing has
  /// changed, if a slot does not exist or is not free.
  result<void> load(const std::vector<layer_slot>& all);

  /// Of those that are being loaded: they are there, and the right ones.
  void verify(const std::vector<layer_slot>& all);

  /// What was loaded is not needed: those slots are free. Returns them.
  std::vector<layer_slot> drop();

  /// `epoch` is the newest: what is verified serves, and those of `leaving`
  /// that serve do so only for older ones. Nothing happens if it is not newer.
  void serve(uint32_t epoch, const std::vector<layer_slot>& leaving);

  /// Nobody plans with what is older than `epoch` any more. Returns the slots
  /// that retire with it.
  std::vector<layer_slot> retire(uint32_t epoch);

  /// Nothing that is computed reads these retired slots any more.
  void free(const std::vector<layer_slot>& all);

  state state_of(uint32_t moe_layer, uint32_t slot) const {
    return slots_[moe_layer][slot].what;
  }

  /// Whether the slot answers for `expert` in this epoch.
  bool answers(uint32_t moe_layer, uint32_t slot, uint32_t expert,
               uint32_t epoch) const;

  /// Slots, of all layers.
  uint64_t count(state x) const {
    return counts_[size_t(x)];
  }

  uint32_t oldest_epoch() const {
    return oldest_;
  }

  uint32_t newest_epoch() const {
    return newest_;
  }

private:
  static constexpr uint32_t no_end = UINT32_MAX;

  struct entry {
    state what = state::free;
    uint16_t expert = 0;
    uint32_t from = 0;       ///< The first epoch that it serves.
    uint32_t until = no_end; ///< The first that it does not.
  };

  template <class Fn>
  void for_each(Fn fn);
  bool is_there(const layer_slot& x) const;
  entry& entry_of(const layer_slot& x) {
    return slots_[x.moe_layer][x.slot];
  }
  entry& at(const layer_slot& x, state expected);
  void set(entry& x, state to);

  uint32_t oldest_ = 0; ///< Epochs.
  uint32_t newest_ = 0;
  uint32_t num_dense_ = 0;
  std::vector<std::vector<entry>> slots_; ///< [moe layer][slot]
  std::array<uint64_t, num_states> counts_ = {};
};

} // namespace troupe
