#pragma once

/// How long it takes until rows are with all experts of a unit, or back: an
/// all-to-all exchange of one GPU, as the hardware's table has measured it.

#include <cstdint>
#include <vector>

namespace troupe {

enum class exchange_kind : uint8_t { dispatch, combine };

/// How a unit exchanges rows.
enum class exchange_mode : uint8_t { low_latency, normal };

/// Each row goes to the GPU of each of its experts by itself; nothing computes
/// meanwhile on behalf of it.
struct low_latency_exchange {
  struct point {
    uint32_t ranks = 1;
    double dispatch = 0; ///< Seconds for `rows`.
    double combine = 0;
  };

  double rows = 128;           ///< Of each rank in the table.
  double fixed = 0;            ///< Seconds that no rows take, too.
  std::vector<point> measured; ///< Ascending by ranks.

  /// For `num_rows` of each of so many ranks.
  double seconds(exchange_kind what, uint32_t ranks, double num_rows) const;
};

/// A row goes to each node once and is handed on there, by multiprocessors
/// that compute nothing else.
struct normal_exchange {
  struct point {
    uint32_t ranks = 1;
    double dispatch = 0; ///< Bytes per second of each rank, to all nodes.
    double combine = 0;
  };

  uint32_t gpus_of_node = 8;
  double multiprocessors = 0; ///< Taken from each GPU.
  double barrier = 0;         ///< Seconds until all ranks know what is coming.
  /// Times as long beside arithmetic as alone.
  double dispatch_slowdown = 1;
  double combine_slowdown = 1;
  std::vector<point> measured; ///< Ascending by ranks.

  /// For `bytes` to all nodes.
  double seconds(exchange_kind what, uint32_t ranks, double bytes) const;
};

} // namespace troupe
