#pragma once

/// A child of `troupe bench transport`: one process of the exchanges, which
/// does what its parent says in words:
///
///     troupe HOST SECRET      listens         -> "at PORT"
///     raw                     listens         -> "at ADDRESS", in hex
///     dial PEER PORT          over troupe
///     raw-dial PEER ADDRESS
///     await N                 peers of troupe -> "ready"
///     run HOW DISPATCH COMBINE WINDOW ROUNDS  -> "took NANOSECONDS"
///
/// What fails is answered with "failed WHY".

#include "deploy/word_channel.hpp"
#include "runtime/bench/transport_exchange.hpp"
#include "runtime/entropy.hpp"
#include "runtime/log.hpp"
#include "runtime/transport/ucx_raw_exchange.hpp"
#include "runtime/transport/ucx_transport.hpp"

#include <sstream>

namespace troupe {

class exchange_process {
public:
  /// Number `self` of them.
  exchange_process(word_channel channel, uint32_t self);

  /// Obeys until the parent is gone.
  void run();

  /// Bytes of a frame at most.
  static constexpr uint32_t max_body = 8 << 20;

private:
  /// What is to be answered; empty: nothing.
  std::string obey(const std::string& verb, std::istream& in);
  std::string listen(const std::string& host, const std::string& secret);
  std::string listen_raw();
  std::string connect_raw(uint32_t peer, const std::string& address);
  std::string await(size_t num_peers);
  std::string measure(const std::string& how, bench::exchange_shape shape);

  const word_channel channel_;
  const uint32_t self_;
  system_clock time_;
  system_entropy chance_;
  logger log_;
  std::mutex mutex_; ///< For what follows.
  std::condition_variable joined_;
  std::vector<node_id> peers_;
  bench::transport_exchange exchange_{max_body};
  std::unique_ptr<ucx_raw_exchange> raw_;
  std::unique_ptr<ucx_transport> net_; ///< Last: it calls the above.
};

} // namespace troupe
