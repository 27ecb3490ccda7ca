#pragma once

/// What a layer moves, without the layer: each process sends rows to every
/// other one (dispatch) and has others back (combine), in rounds of which
/// several are out at once. Plain: how far one process is.

#include <cstdint>
#include <optional>
#include <vector>

namespace troupe::bench {

struct exchange_shape {
  uint32_t num_peers = 1;      ///< Other processes.
  uint32_t dispatch_bytes = 0; ///< To each of them in a round; > 0.
  uint32_t combine_bytes = 0;  ///< Back from each; > 0.
  uint32_t window = 4;         ///< Rounds that may be out at once; > 0.
  uint32_t num_rounds = 1;     ///< > 0

  /// That a process sends and gets in all rounds.
  double bytes() const {
    return 2.0 * num_peers * num_rounds * (dispatch_bytes + combine_bytes);
  }
};

class exchange_progress {
public:
  explicit exchange_progress(const exchange_shape& shape);

  /// The next round that may begin now, if there is one.
  std::optional<uint32_t> next();

  /// One more of the peers has answered a round. False: it is none that is out,
  /// or it had all its answers.
  bool answered(uint32_t round);

  bool is_done() const {
    return num_ended_ == shape_.num_rounds;
  }

private:
  uint32_t& missing(uint32_t round) {
    return missing_[round % shape_.window];
  }

  const exchange_shape shape_;
  uint32_t num_begun_ = 0;
  uint32_t num_ended_ = 0;        ///< All before this one are over.
  std::vector<uint32_t> missing_; ///< [window]; answers.
};

} // namespace troupe::bench
