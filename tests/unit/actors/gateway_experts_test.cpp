/// What becomes of requests whose experts nobody has.

#include "tests/unit/actors/gateway_fixture.hpp"

using namespace troupe;

TEST_F(Gateway, EveryRequestWaitsWhenExpertsAreLost) {
  say(gateway_, cluster_started{});
  for (request_id id = 1; id <= 3; ++id)
    accept(id);
  lose(2, "c");
  EXPECT_EQ(near_->of<cancel_request>().size(), 1u);
  EXPECT_EQ(far_->of<cancel_request>().size(), 2u);
  accept(4); // it was on its way
  EXPECT_EQ(near_->of<run_request>().size(), 1u);
  EXPECT_EQ(figures().open, 4u);
  {
    std::lock_guard lock{status_->mutex};
    EXPECT_EQ(status_->refusal, "node c was lost: it fell off the stage");
  }
  come_back(2, "c");
  EXPECT_EQ(near_->of<run_request>().size() + far_->of<run_request>().size(),
            7u);
  std::lock_guard lock{status_->mutex};
  EXPECT_EQ(status_->refusal, "");
}

TEST_F(Gateway, RequestsEndWithWhoTookTheExpertsIfNobodyComesBack) {
  for (request_id id = 1; id <= 3; ++id)
    accept(id);
  lose(2, "c");
  wait_too_long();
  for (request_id id = 1; id <= 3; ++id)
    EXPECT_EQ(end_of(id), "peer_lost: node c was lost: it fell off the stage");
  EXPECT_EQ(figures().open, 0u);
}

TEST_F(Gateway, DoesNotMindTheLossOfExpertsThatOthersHave) {
  auto parts = std::make_shared<node_parts>();
  parts->maps = {placement{1, 2, 2, {2, 3}, 0, 1, 2}}; // both on c and on d
  context_.here->update([&](cast_list& list) { list.parts = parts; });
  accept(1);
  lose(2, "c");
  EXPECT_EQ(end_of(1), "");
  accept(2, 0);
  EXPECT_EQ(ids_of(near_->of<run_request>()), (ids{1, 2}));
}

TEST_F(Gateway, WaitsForExpertsThatOthersHaveRoomFor) {
  auto parts = std::make_shared<node_parts>();
  parts->maps = {placement{1, 2, 2, {2, 3}, 0, 1, 0, 1}};
  context_.here->update([&](cast_list& list) { list.parts = parts; });
  say(gateway_, cluster_started{});
  accept(1);
  lose(2, "c");
  EXPECT_EQ(end_of(1), "") << "it waits";
  auto says = "node c was lost: it fell off the stage; its experts are being "
              "loaded elsewhere";
  EXPECT_EQ(trouble(), says);
  EXPECT_EQ(refusal(), says);
  auto next = parts->maps[0].left_by({2}).lists();
  next.epoch = 2;
  next.replicas.push_back({0, 0, {{1, 1}, 1}});
  say(gateway_,
      placement_published{std::make_shared<const placement_lists>(next)});
  EXPECT_EQ(trouble(), "node c was lost: it fell off the stage");
  EXPECT_EQ(refusal(), "");
  accept(2, 0);
  EXPECT_EQ(end_of(2), "");
}

TEST_F(Gateway, RequestsWaitNotForEverForExpertsThatNobodyLoads) {
  auto parts = std::make_shared<node_parts>();
  parts->maps = {placement{1, 2, 2, {2, 3}, 0, 1, 0, 1}};
  context_.here->update([&](cast_list& list) { list.parts = parts; });
  accept(1);
  say(gateway_, experts_given_up{"of something else"});
  lose(2, "c");
  EXPECT_EQ(end_of(1), "");
  say(gateway_, experts_given_up{"they cannot be read"});
  EXPECT_EQ(near_->of<cancel_request>().size(), 1u);
  EXPECT_EQ(end_of(1), "");
  wait_too_long();
  EXPECT_EQ(end_of(1), "peer_lost: node c was lost: it fell off the stage");
}

TEST_F(Gateway, WhoIsBackHasItsExpertsOnceTheyAreInThePlacement) {
  auto parts = std::make_shared<node_parts>();
  parts->maps = {placement{1, 2, 2, {2, 3}}};
  context_.here->update([&](cast_list& list) { list.parts = parts; });
  auto place = [&](uint32_t epoch) {
    auto next = parts->maps[0].lists();
    next.epoch = epoch;
    say(gateway_,
        placement_published{std::make_shared<const placement_lists>(next)});
  };
  say(gateway_, cluster_started{});
  place(2);
  lose(2, "c");
  accept(1);
  EXPECT_TRUE(near_->of<run_request>().empty()) << "nobody has room";
  come_back(2, "c");
  EXPECT_EQ(trouble(), "experts that were lost are being placed anew");
  EXPECT_NE(refusal(), "");
  place(3);
  EXPECT_EQ(trouble(), "");
  EXPECT_EQ(refusal(), "");
  EXPECT_EQ(ids_of(near_->of<run_request>()), (ids{1}));
}
