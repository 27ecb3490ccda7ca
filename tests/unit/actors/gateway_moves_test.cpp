/// The gateway of a company whose running requests move.

#include "tests/unit/actors/moving_gateway.hpp"

using namespace troupe;

namespace {

class GatewayThatMoves : public moving_gateway {
protected:
  uint64_t num_refused() {
    std::lock_guard lock{status_->mutex};
    return status_->request_balance ? status_->request_balance->refused : 0;
  }
};

} // namespace

TEST_F(GatewayThatMoves, RaisesTheTermBehindTheTokenAfterTheBlocks) {
  accept(1); // to rank 0
  look();
  EXPECT_TRUE(near_->of<move_request>().empty()) << "its prompt is being read";
  answer(1, 0, {5});
  look();
  auto orders = near_->of<move_request>();
  ASSERT_EQ(orders.size(), 1u);
  EXPECT_EQ(orders[0].rank, 0);
  EXPECT_EQ(orders[0].term, 1u);
  EXPECT_EQ(orders[0].to, 2);
  answer(1, 1, {6});
  EXPECT_TRUE(far_->of<run_request>().empty());
  copied();
  EXPECT_TRUE(far_->of<run_request>().empty()) << "a token is on its way";
  answer(1, 2, {7});
  ASSERT_EQ(far_->of<run_request>().size(), 1u);
  auto then = far_->of<run_request>()[0];
  EXPECT_EQ(then.rank, 2);
  EXPECT_EQ(then.term, 2u);
  EXPECT_EQ(then.answered, (std::vector<int32_t>{5, 6, 7}));
  ASSERT_EQ(near_->of<cancel_request>().size(), 1u);
  EXPECT_EQ(near_->of<cancel_request>()[0].term, 1u);
  answer(1, 3, {99}); // of the former owner
  answer(1, 3, {8}, finish_reason::length, 2);
  EXPECT_EQ(tokens_of(1), (std::vector<int32_t>{5, 6, 7, 8}));
  EXPECT_EQ(end_of(1), "well");
  EXPECT_EQ(status_->requests_moved, 0u);
  std::lock_guard lock{status_->mutex};
  ASSERT_TRUE(status_->request_balance);
  EXPECT_EQ(status_->request_balance->moves, 1u);
  EXPECT_EQ(status_->request_balance->recent[0].from, 0);
}

TEST_F(GatewayThatMoves, LeavesWhereItIsWhatCouldNotBeCopied) {
  accept(1);
  answer(1, 0, {5});
  look();
  copied(false);
  answer(1, 1, {6});
  EXPECT_TRUE(far_->of<run_request>().empty());
  look();
  EXPECT_EQ(near_->of<move_request>().size(), 1u) << "it rests";
  EXPECT_EQ(num_refused(), 1u);
}

TEST_F(GatewayThatMoves, GivesNothingToWhoIsLostMeanwhile) {
  accept(1);
  answer(1, 0, {5});
  look();
  copied();
  lose(1, "b");
  answer(1, 1, {6});
  EXPECT_TRUE(far_->of<run_request>().empty());
  answer(1, 2, {7}, finish_reason::length);
  EXPECT_EQ(end_of(1), "well");
  EXPECT_EQ(num_refused(), 1u);
}

TEST_F(GatewayThatMoves, WhoLosesItsOwnerMovesNoMore) {
  accept(1, 1); // somebody else keeps the order of ranks
  accept(2);
  answer(2, 0, {5});
  look();
  ASSERT_EQ(near_->of<move_request>().size(), 1u);
  say(gateway_, client_gone{2});
  say(gateway_, request_copied{2, 1, 2, true});
  EXPECT_TRUE(ids_of(far_->of<run_request>()) == ids{1});
  look();
  EXPECT_EQ(num_refused(), 1u);
}

TEST_F(GatewayThatMoves, GivesNewRequestsToWhoseStepsAreShort) {
  auto loads = std::make_shared<part_loads>();
  rank_load x;
  x.rank = 0;
  x.request_ps = 1'000'000;
  x.kv_token_ps = 1'000'000'000;
  loads->ranks.push_back(x);
  node_report report;
  report.loads = loads;
  report.incarnation = 100;
  say(gateway_, report);
  accept(1);
  answer(1, 0, std::vector<int32_t>(5, 3)); // 8 tokens at rank 0
  for (request_id id = 2; id <= 5; ++id)
    accept(id); // 3 each
  std::map<rank_id, int> given;
  for (auto& y : far_->of<run_request>())
    ++given[y.rank];
  EXPECT_EQ(given[1], 2);
  EXPECT_EQ(given[2], 2);
}
