#include "runtime/bench/exchange.hpp"
#include "runtime/bench/transport_exchange.hpp"
#include "runtime/transport/loopback.hpp"

#include <gtest/gtest.h>

#include <thread>

using namespace troupe;
using bench::exchange_progress;
using bench::exchange_shape;

namespace {

/// Of two peers and five rounds, three of which may be out at once.
exchange_shape small() {
  exchange_shape out;
  out.num_peers = 2;
  out.dispatch_bytes = 300;
  out.combine_bytes = 500;
  out.window = 3;
  out.num_rounds = 5;
  return out;
}

} // namespace

TEST(BenchExchange, HasAsManyRoundsOutAsItsWindow) {
  exchange_progress x{small()};
  for (uint32_t i = 0; i < 3; ++i)
    EXPECT_EQ(x.next(), i);
  EXPECT_FALSE(x.next());
  EXPECT_TRUE(x.answered(0));
  EXPECT_FALSE(x.next()) << "the other peer has not answered";
  EXPECT_TRUE(x.answered(0));
  EXPECT_EQ(x.next(), 3u);
}

TEST(BenchExchange, RoundsMayEndInAnyOrder) {
  exchange_progress x{small()};
  uint32_t num_begun = 0;
  while (!x.is_done()) {
    std::vector<uint32_t> out;
    while (auto round = x.next())
      out.push_back(*round);
    num_begun += uint32_t(out.size());
    for (auto round = out.rbegin(); round != out.rend(); ++round)
      for (int peer = 0; peer < 2; ++peer)
        EXPECT_TRUE(x.answered(*round));
  }
  EXPECT_EQ(num_begun, 5u);
}

TEST(BenchExchange, TakesNoAnswerTwiceNorToWhatIsNotOut) {
  exchange_progress x{small()};
  EXPECT_FALSE(x.answered(0));
  x.next();
  EXPECT_TRUE(x.answered(0));
  EXPECT_TRUE(x.answered(0));
  EXPECT_FALSE(x.answered(0));
  EXPECT_FALSE(x.answered(1));
}

TEST(BenchExchange, RunsBetweenNodesOfAnyTransport) {
  constexpr node_id num_nodes = 3;
  loopback_network network;
  std::vector<std::unique_ptr<bench::transport_exchange>> parties;
  std::vector<std::unique_ptr<transport>> nets;
  for (node_id i = 0; i < num_nodes; ++i) {
    auto& party = *parties.emplace_back(
      std::make_unique<bench::transport_exchange>(1 << 10));
    transport_handler handler;
    handler.on_frame = [&party](node_id from, frame&& x) {
      party.on_frame(from, std::move(x));
    };
    nets.push_back(network.join(i, {"n" + std::to_string(i), i + 1u, 0, {}},
                                std::move(handler)));
    party.use(*nets.back());
  }
  std::vector<std::thread> threads;
  std::array<bool, num_nodes> done = {};
  for (node_id i = 0; i < num_nodes; ++i)
    threads.emplace_back([&, i] {
      std::vector<node_id> peers;
      for (node_id j = 0; j < num_nodes; ++j)
        if (j != i)
          peers.push_back(j);
      done[i] = parties[i]->run(small(), peers, std::chrono::minutes{1});
    });
  for (auto& thread : threads)
    thread.join();
  EXPECT_EQ(done, (std::array{true, true, true}));
  // Each node has sent 5 rounds and as many answers to each of the others.
  auto frames = 5 * 2 * (300 + 500 + 2 * frame_header::size);
  for (auto& net : nets)
    EXPECT_EQ(net->stats().bytes_sent, frames);
}
