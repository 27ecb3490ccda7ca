#pragma once

/// Which rank decodes a request, and which requests move to another rank with
/// what they have in the cache. All ranks of a unit wait for the slowest one in
/// every layer, so what counts is how long the step of the fullest takes:
/// requests (rows to dispatch) and tokens in caches (attention) at once, by
/// what each has been seen to cost.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace troupe::balance {

/// What a step of a rank takes beside what all have in common, in seconds.
/// Learnt by running_fit, or given.
struct decode_prices {
  double request = 0;
  double kv_token = 0;
};

/// A rank as it is.
struct decode_rank {
  uint32_t requests = 0;
  uint64_t kv_tokens = 0; ///< In blocks of these requests.
  uint32_t max_requests = UINT32_MAX;
  uint64_t max_kv_tokens = UINT64_MAX;

  double seconds(const decode_prices& x) const {
    return x.request * requests + x.kv_token * double(kv_tokens);
  }
};

struct decode_request {
  uint64_t id = 0;
  uint32_t rank = 0;
  uint64_t kv_tokens = 0;
};

struct request_move {
  uint64_t id = 0;
  uint32_t from = 0;
  uint32_t to = 0;
  uint64_t kv_tokens = 0;
  double before = 0; ///< Of the slower of the two ranks: seconds of a step
  double after = 0;  ///< that differ between ranks.
};

struct decode_caps {
  uint32_t max_moves = 4;           ///< Of one plan.
  uint64_t max_kv_tokens = 1 << 18; ///< That one plan copies.
  /// A move has to make the fullest rank faster by this share of what its step
  /// takes beside what all have in common.
  double least_gain = 0.02;
};

class decode_balancer {
public:
  explicit decode_balancer(const decode_prices& prices,
                           const decode_caps& caps = {})
    : prices_(prices), caps_(caps) {
  }

  /// Prices change as steps are seen.
  void reprice(const decode_prices& prices) {
    prices_ = prices;
  }

  /// The rank that is the fastest with a new request of so many tokens, of
  /// those that have room for it; the first of equals. Nothing if none has.
  std::optional<uint32_t> place(std::span<const decode_rank> ranks,
                                uint64_t kv_tokens) const;

  /// From the slowest rank to where it is least felt, as long as that pays: the
  /// request after whose move the slower of both is fastest. Each request moves
  /// once. `requests`: those that may move, of whatever ranks.
  std::vector<request_move>
  plan_moves(std::span<const decode_rank> ranks,
             std::span<const decode_request> requests) const;

private:
  bool has_room(const decode_rank& x, uint64_t kv_tokens) const;
  double cost(uint64_t kv_tokens) const;

  decode_prices prices_;
  decode_caps caps_;
};

} // namespace troupe::balance
