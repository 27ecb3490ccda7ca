/// The gateway of a company in which some ranks prefill and others decode.

#include "tests/unit/actors/gateway_fixture.hpp"

using namespace troupe;

namespace {

/// Rank 0, on node a, prefills; 1 and 2, on b, decode.
topology one_that_prefills() {
  auto out = small_cluster();
  topology_unit first, second;
  first.name = "prefill";
  first.role = unit_role::prefill;
  first.ranks = {0};
  second.name = "decode";
  second.role = unit_role::decode;
  second.ranks = {1, 2};
  second.workers = {0};
  out.units = {first, second};
  return out;
}

class GatewayOfUnits : public Gateway {
protected:
  GatewayOfUnits() : Gateway(one_that_prefills()) {
  }

  run_request last(const std::shared_ptr<commands>& of) {
    auto all = of->of<run_request>();
    return all.empty() ? run_request{} : all.back();
  }
};

} // namespace

TEST_F(GatewayOfUnits, GivesARequestToWhoPrefillsAndThenToWhoDecodes) {
  accept(1);
  EXPECT_EQ(last(near_).request, 1u);
  EXPECT_EQ(last(near_).next, rank_id{1});
  EXPECT_TRUE(far_->of<run_request>().empty());
  answer(1, 0, {5});
  ASSERT_EQ(ids_of(far_->of<run_request>()), ids{1});
  auto then = last(far_);
  EXPECT_EQ(then.rank, 1);
  EXPECT_EQ(then.term, 2u);
  EXPECT_EQ(then.answered, std::vector<int32_t>{5});
  EXPECT_EQ(then.next, std::nullopt);
  answer(1, 1, {6}, finish_reason::length, 2);
  EXPECT_EQ(tokens_of(1), (std::vector<int32_t>{5, 6}));
  EXPECT_EQ(end_of(1), "well");
  EXPECT_EQ(status_->requests_handed_over, 1u);
  EXPECT_EQ(status_->requests_moved, 0u);
}

TEST_F(GatewayOfUnits, SharesOutWhoDecodesWhenARequestBegins) {
  for (request_id id = 1; id <= 3; ++id)
    accept(id);
  std::vector<std::optional<rank_id>> next;
  for (auto& x : near_->of<run_request>())
    next.push_back(x.next);
  EXPECT_EQ(next, (std::vector<std::optional<rank_id>>{1, 2, 1}));
}

TEST_F(GatewayOfUnits, AnAnswerOfOneTokenIsNotHandedOver) {
  accept(1);
  answer(1, 0, {5}, finish_reason::length);
  EXPECT_EQ(end_of(1), "well");
  EXPECT_TRUE(far_->of<run_request>().empty());
  EXPECT_EQ(status_->requests_handed_over, 0u);
}

TEST_F(GatewayOfUnits, WithoutWhoDecodesWhoPrefillsGoesOn) {
  accept(1);
  lose(1, "b");
  answer(1, 0, {5});
  EXPECT_EQ(last(near_).term, 2u);
  EXPECT_EQ(last(near_).answered, std::vector<int32_t>{5});
  EXPECT_EQ(last(near_).next, std::nullopt);
  accept(2);
  EXPECT_EQ(last(near_).request, 2u);
  EXPECT_EQ(last(near_).next, std::nullopt);
  answer(2, 0, {7});
  answer(2, 1, {8}, finish_reason::length);
  EXPECT_EQ(end_of(2), "well");
}

TEST_F(GatewayOfUnits, WithoutWhoPrefillsWhoDecodesBegins) {
  accept(1);
  lose(0, "a");
  EXPECT_EQ(last(far_).request, 1u);
  EXPECT_EQ(last(far_).term, 2u);
  EXPECT_EQ(last(far_).next, std::nullopt);
  accept(2);
  EXPECT_EQ(last(far_).request, 2u);
  answer(2, 0, {7});
  answer(2, 1, {8}, finish_reason::length);
  EXPECT_EQ(end_of(2), "well");
}

TEST_F(GatewayOfUnits, WhoLosesItsRankBeginsWhereItWouldHave) {
  accept(1);
  answer(1, 0, {5});
  lose(1, "b");
  EXPECT_EQ(last(near_).term, 3u) << "nobody else is left";
  EXPECT_EQ(last(near_).next, std::nullopt);
  come_back(1, "b");
  accept(2);
  answer(2, 0, {5});
  EXPECT_EQ(last(far_).request, 2u);
  auto event = std::make_shared<generation_event>();
  event->first_position = 1;
  event->finish = finish_reason::failed;
  event->cause = failure{errc::peer_lost, "node c was lost"};
  say(gateway_, tokens_ready{2, 2, event});
  EXPECT_EQ(last(near_).request, 2u);
  EXPECT_EQ(last(near_).term, 3u);
  EXPECT_TRUE(last(near_).next) << "to be handed over again";
}

TEST_F(GatewayOfUnits, TellsItsOwnerOfACancelInEachPhase) {
  accept(1);
  say(gateway_, client_gone{1});
  EXPECT_EQ(near_->of<cancel_request>().back().request, 1u);
  accept(2);
  answer(2, 0, {5});
  say(gateway_, client_gone{2});
  ASSERT_FALSE(far_->of<cancel_request>().empty());
  EXPECT_EQ(far_->of<cancel_request>().back().request, 2u);
  EXPECT_EQ(far_->of<cancel_request>().back().term, 2u);
}

TEST_F(GatewayOfUnits, WhoAsksForARankStaysThere) {
  accept(1, 0);
  EXPECT_EQ(last(near_).next, std::nullopt);
  answer(1, 0, {5});
  answer(1, 1, {6});
  EXPECT_TRUE(far_->of<run_request>().empty());
}
