/// What the gateway says of a request that was to move, and of one that has.

#include "tests/unit/actors/gateway_fixture.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

/// Moves every request to rank 2.
struct all_to_the_last : balance::request_policy {
  std::vector<balance::request_move>
  plan(std::span<const balance::decode_rank>,
       std::span<const balance::decode_request> requests) override {
    std::vector<balance::request_move> out;
    for (auto& x : requests)
      if (x.rank != 2)
        out.push_back({x.id, x.rank, 2, x.kv_tokens, 0, 0});
    return out;
  }
};

std::shared_ptr<const request_settings> settings() {
  auto out = std::make_shared<request_settings>();
  out->interval = 100ms;
  out->least_left = 1;
  out->policy = std::make_shared<all_to_the_last>();
  return out;
}

/// Request 1 runs at rank 0, which is asked to copy it to 2.
class GatewayThatGivesUp : public Gateway {
protected:
  GatewayThatGivesUp() : Gateway(small_cluster(), settings()) {
    say(gateway_, cluster_started{});
    accept(1);
    answer(1, 0, {5});
    look();
  }

  void look(int times = 1) {
    for (int i = 0; i < times; ++i) {
      scheduler_.advance_time(100ms);
      scheduler_.run();
    }
  }

  void copied() {
    say(gateway_, request_copied{1, 1, 2, true});
  }

  /// Where rank 0 was told that the request may go, in turn.
  std::vector<rank_id> told() const {
    std::vector<rank_id> out;
    for (auto& x : near_->of<move_request>()) {
      EXPECT_EQ(x.request, 1u);
      EXPECT_EQ(x.rank, 0);
      EXPECT_EQ(x.term, 1u);
      out.push_back(x.to);
    }
    return out;
  }
};

using ranks = std::vector<rank_id>;

} // namespace

TEST_F(GatewayThatGivesUp, SaysSoToWhoHasIt) {
  EXPECT_EQ(told(), ranks{2});
  copied();
  lose(1, "b");
  answer(1, 1, {6});
  EXPECT_EQ(told(), (ranks{2, 0}));
  look(3);
  answer(1, 2, {7});
  EXPECT_EQ(told(), (ranks{2, 0})) << "once";
  EXPECT_TRUE(far_->of<run_request>().empty());
}

TEST_F(GatewayThatGivesUp, SaysSoIfNoTokenComes) {
  copied();
  look(99);
  EXPECT_EQ(told(), ranks{2});
  look(2);
  EXPECT_EQ(told(), (ranks{2, 0}));
}

TEST_F(GatewayThatGivesUp, SaysSoIfTheBlocksDoNotCome) {
  look(101);
  EXPECT_EQ(told(), (ranks{2, 0}));
  copied();
  answer(1, 1, {6});
  EXPECT_TRUE(far_->of<run_request>().empty()) << "too late";
}

TEST_F(GatewayThatGivesUp, BlocksAreNeededOfWhoHasMoved) {
  copied();
  answer(1, 1, {6});
  ASSERT_EQ(near_->of<cancel_request>().size(), 1u);
  EXPECT_EQ(near_->of<cancel_request>()[0].term, 1u);
  EXPECT_TRUE(near_->of<cancel_request>()[0].is_passed_on);
  say(gateway_, client_gone{1});
  ASSERT_EQ(far_->of<cancel_request>().size(), 1u);
  EXPECT_FALSE(far_->of<cancel_request>()[0].is_passed_on);
}
