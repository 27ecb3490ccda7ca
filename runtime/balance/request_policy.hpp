#pragma once

/// Says which running requests move to which rank of their unit: for those who
/// embed a company and know better than decode_balancer.

#include "runtime/balance/decode_balancer.hpp"

namespace troupe::balance {

class request_policy {
public:
  virtual ~request_policy() = default;

  /// The moves to begin now: of `requests`, each once, from where it is to
  /// another of `ranks`. Called where all requests are given out, at every
  /// interval: short. A plan that breaks these rules is not followed. How many
  /// move at once, and whether there is room for them, is the policy's to say:
  /// who finds none waits there.
  virtual std::vector<request_move>
  plan(std::span<const decode_rank> ranks,
       std::span<const decode_request> requests)
    = 0;
};

/// Empty: the plan keeps the rules of request_policy. Otherwise a sentence.
std::string complaint_of(std::span<const request_move> plan,
                         std::span<const decode_rank> ranks,
                         std::span<const decode_request> requests);

} // namespace troupe::balance
