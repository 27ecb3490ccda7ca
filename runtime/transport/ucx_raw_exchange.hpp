#pragma once

/// The same exchange with UCX's active messages and nothing else: no lanes, no
/// numbers, no checksums, no copies of what comes, no other thread. What a
/// transport over UCX is measured against; its settings and its way of opening
/// endpoints are those of ucx_worker and ucx_link.

#include "runtime/bench/exchange.hpp"
#include "runtime/clock.hpp"
#include "runtime/transport/transport.hpp"

#include <memory>
#include <span>
#include <vector>

namespace troupe {

class ucx_raw_exchange {
public:
  /// Number `self` of the processes, reached at `listen`, for bodies of at most
  /// `max_body` bytes. Error: what UCX says.
  static result<std::unique_ptr<ucx_raw_exchange>>
  open(const endpoint_address& listen, uint32_t self, uint32_t max_body);

  ~ucx_raw_exchange();

  /// Where others reach this, for their connect().
  std::vector<std::byte> address() const;

  /// Every other process once, all of this machine. Error: what UCX says.
  result<void> connect(uint32_t peer, std::span<const std::byte> address);

  /// Until all own rounds are over and those of all others are answered. Every
  /// process does the same at the same time. False: not within `limit`, or an
  /// answer was wrong.
  bool run(const bench::exchange_shape& shape, const clock& time,
           std::chrono::milliseconds limit);

private:
  struct state;

  explicit ucx_raw_exchange(std::unique_ptr<state> x);

  std::unique_ptr<state> state_;
};

} // namespace troupe
