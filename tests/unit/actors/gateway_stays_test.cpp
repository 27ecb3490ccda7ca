/// What the gateway says of a request that was to move, and of one that has.

#include "tests/unit/actors/moving_gateway.hpp"

using namespace troupe;

namespace {

/// Request 1 runs at rank 0, which is asked to copy it to 2.
class GatewayThatGivesUp : public moving_gateway {
protected:
  GatewayThatGivesUp() {
    accept(1);
    answer(1, 0, {5});
    look();
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
