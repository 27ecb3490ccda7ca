#pragma once

/// One process of an exchange whose rows go through a transport. Frames of
/// dispatch are answered whenever they come, from the transport's own thread;
/// run() sends the own ones.

#include "runtime/bench/exchange.hpp"
#include "runtime/transport/transport.hpp"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

namespace troupe::bench {

class transport_exchange {
public:
  /// For bodies of at most `max_body` bytes.
  explicit transport_exchange(uint32_t max_body);

  /// Before any frame comes; `net` outlives this.
  void use(transport& net) {
    net_ = &net;
  }

  /// For the transport's handler.
  void on_frame(node_id from, frame&& x);

  /// Exchanges with `peers` until all rounds are over. False: not within
  /// `limit`, or an answer was wrong. One at a time.
  bool run(const exchange_shape& shape, const std::vector<node_id>& peers,
           std::chrono::milliseconds limit);

private:
  /// Frames of so many bytes of what is never written again.
  body rows(uint32_t bytes) const {
    return {rows_, std::span{*rows_}.first(bytes)};
  }

  void send_rounds(std::unique_lock<std::mutex> guard);

  transport* net_ = nullptr;
  const std::shared_ptr<const std::vector<std::byte>> rows_;
  std::mutex mutex_; ///< For what follows.
  std::condition_variable over_;
  exchange_shape shape_;
  std::vector<node_id> peers_;
  std::optional<exchange_progress> progress_; ///< While it runs.
  bool is_wrong_ = false;
};

} // namespace troupe::bench
