#pragma once

/// How much each expert is asked at present, from counts that processes have
/// gone on adding to since they began.

#include "runtime/balance/load_table.hpp"

#include <map>

namespace troupe::balance {

class expert_loads {
public:
  /// `layers`: their index in the model. `half_life`: seconds, above 0, after
  /// which what was counted weighs half as much.
  expert_loads(std::vector<uint32_t> layers, uint32_t num_experts,
               double half_life);

  /// `source`, a node, has counted this much since its process `incarnation`
  /// began. `counts`: [layers * experts] rows, or empty. What was heard before
  /// is not counted again, nor what comes late and says less.
  void hear(uint32_t source, uint64_t incarnation,
            std::span<const uint64_t> counts);

  /// So many seconds pass. Not negative.
  void age(double seconds);

  /// What the rows of table() took to come, as they are aged, too: a steady
  /// flow is as many rows a second as table() has, by this.
  double seconds() const {
    return seconds_;
  }

  const load_table& table() const {
    return aged_.table();
  }

private:
  struct heard {
    uint64_t incarnation = 0;
    std::vector<uint64_t> counts; ///< [layers * experts]
  };

  aged_loads aged_;
  double half_life_;
  double seconds_ = 0;
  std::map<uint32_t, heard> sources_;
};

} // namespace troupe::balance
