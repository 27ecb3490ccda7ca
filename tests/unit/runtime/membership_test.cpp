#include "runtime/cluster/membership.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

using state = membership::state;

member who(const std::string& name) {
  return {name, 1000 + name.size(), {"127.0.0.1", 4000}};
}

membership three() {
  return membership{{"a", "b", "c"}};
}

bool lose(membership& x, node_id node) {
  return x.suspected(0, node, x.incarnation_of(node));
}

/// Brings a node as far as `to`, by the ordinary way.
void bring(membership& x, node_id node, state to) {
  if (to >= state::loading)
    x.joined(node, who(x.name_of(node)));
  if (to >= state::ready && to != state::lost)
    x.loaded(node);
  if (to == state::lost) {
    EXPECT_TRUE(lose(x, node));
  }
}

membership three_in(state to) {
  auto x = three();
  for (node_id n = 0; n < 3; ++n)
    bring(x, n, std::min(to, state::ready));
  if (to >= state::connected) {
    EXPECT_TRUE(x.take_view());
    for (node_id n = 0; n < 3; ++n)
      x.connected(n, 1);
  }
  if (to == state::serving) {
    EXPECT_TRUE(x.take_start());
  }
  return x;
}

/// A successor of node 1, which was lost, as far as `to`; view 2 has it.
membership with_successor(state to) {
  auto x = three_in(state::serving);
  EXPECT_TRUE(lose(x, 1));
  x.joined(1, {"b", 2001, {}});
  if (to >= state::ready) {
    x.loaded(1);
    EXPECT_TRUE(x.take_view());
  }
  if (to >= state::connected)
    x.connected(1, 2);
  if (to >= state::serving) {
    x.connected(0, 2);
    x.connected(2, 2);
    EXPECT_EQ(x.take_back(), std::vector<node_id>{1});
  }
  EXPECT_EQ(x.state_of(1), to);
  return x;
}

/// Those that lead to the start.
constexpr state all_states[] = {state::absent, state::loading, state::ready,
                                state::lost};

} // namespace

TEST(Membership, AdmitsNamesOfTheTopologyThatNobodyHas) {
  auto x = three();
  EXPECT_EQ(*x.admit("c"), 2);
  auto stranger = x.admit("d");
  ASSERT_FALSE(stranger);
  EXPECT_EQ(stranger.why().code, errc::refused);
  EXPECT_NE(stranger.why().message.find("named d"), std::string::npos);
}

TEST(Membership, BeforeTheStartItAdmitsNobodyUnderANameThatWasEverTaken) {
  for (auto s : all_states) {
    auto x = three();
    bring(x, 1, s);
    EXPECT_EQ(bool(x.admit("b")), s == state::absent) << int(s);
  }
}

TEST(Membership, EachEventCountsInOneStateAlone) {
  for (auto s : all_states) {
    SCOPED_TRACE("state " + std::to_string(int(s)));
    auto x = three();
    bring(x, 0, state::ready);
    bring(x, 1, s);
    ASSERT_EQ(x.state_of(1), s);
    auto loaded = x, connected = x, lost = x;
    loaded.loaded(1);
    EXPECT_EQ(loaded.state_of(1), s == state::loading ? state::ready : s);
    connected.connected(1, 1);
    EXPECT_EQ(connected.state_of(1), s) << "there is no view yet";
    auto was_there = s != state::absent && s != state::lost;
    EXPECT_EQ(lose(lost, 1), was_there);
    EXPECT_EQ(lost.state_of(1), was_there ? state::lost : s);
  }
}

TEST(Membership, PublishesTheViewOnceWhenAllAreReady) {
  for (auto s : all_states) {
    auto x = three_in(state::ready);
    EXPECT_TRUE(x.take_view().has_value());
    EXPECT_FALSE(x.take_view().has_value());
    x = three();
    bring(x, 0, state::ready);
    bring(x, 1, state::ready);
    bring(x, 2, s);
    EXPECT_EQ(x.take_view().has_value(), s == state::ready) << int(s);
  }
}

TEST(Membership, ItsViewNamesTheMembersByNode) {
  auto x = three_in(state::ready);
  auto view = x.take_view();
  EXPECT_EQ(view->number, 1u);
  EXPECT_EQ(view->epochs, std::vector<uint32_t>{1});
  ASSERT_EQ(view->members.size(), 3u);
  EXPECT_EQ(view->members[2].name, "c");
  EXPECT_EQ(view->members[2].incarnation, 1001u);
  EXPECT_EQ(view->members[2].address.port, 4000);
}

TEST(Membership, StartsOnceWhenAllAreConnected) {
  auto x = three_in(state::connected);
  EXPECT_TRUE(x.take_start());
  EXPECT_FALSE(x.take_start());
  x = three_in(state::ready);
  ASSERT_TRUE(x.take_view());
  x.connected(0, 1);
  x.connected(1, 1);
  x.connected(2, 2); // a view that there is not
  EXPECT_FALSE(x.take_start());
  x.connected(2, 1);
  EXPECT_TRUE(x.take_start());
}

TEST(Membership, SaysForWhomTheStartWaits) {
  auto x = three();
  EXPECT_EQ(x.missing(), "a (absent), b (absent), c (absent)");
  bring(x, 0, state::ready);
  bring(x, 1, state::loading);
  bring(x, 2, state::lost);
  EXPECT_EQ(x.missing(), "a (connecting), b (loading), c (lost)");
  EXPECT_EQ(three_in(state::connected).missing(), "");
}

TEST(Membership, BelievesEvidenceAgainstTheProcessThatItKnowsAlone) {
  auto x = three_in(state::connected);
  for (uint64_t other : {0, 1000, 1002})
    EXPECT_FALSE(x.suspected(0, 1, other));
  EXPECT_EQ(x.state_of(1), state::connected);
  EXPECT_TRUE(x.suspected(2, 1, 1001));
  EXPECT_FALSE(x.suspected(1, 2, 1001)) << "nobody listens to it any more";
  EXPECT_FALSE(x.suspected(2, 0, 1001)) << "node 0 hears it";
  EXPECT_EQ(x.state_of(0), state::connected);
}

TEST(Membership, IgnoresNodesThatDoNotExist) {
  auto x = three_in(state::ready);
  x.loaded(3);
  x.connected(3, 1);
  EXPECT_FALSE(x.suspected(0, 65535, 1001));
  EXPECT_FALSE(x.suspected(65535, 1, 1001));
  EXPECT_TRUE(x.take_view().has_value());
}

TEST(Membership, OnceItServesALostNameIsFreeForAnotherProcess) {
  auto x = three_in(state::serving);
  EXPECT_FALSE(x.admit("b")) << "it lives";
  ASSERT_TRUE(lose(x, 1));
  EXPECT_EQ(*x.admit("b"), 1);
  x.joined(1, {"b", 2001, {}});
  EXPECT_FALSE(x.admit("b"));
  EXPECT_FALSE(x.suspected(2, 1, 1001)) << "that one is gone";
  EXPECT_EQ(x.missing(), "b (loading)");
}

TEST(Membership, ASuccessorIsInTheNextViewOnceItIsReady) {
  auto x = with_successor(state::loading);
  EXPECT_FALSE(x.take_view());
  x.loaded(1);
  auto view = x.take_view();
  ASSERT_TRUE(view);
  EXPECT_EQ(view->number, 2u);
  EXPECT_EQ(view->members[0].is, member_state::serving);
  EXPECT_EQ(view->members[1].is, member_state::joining);
  EXPECT_EQ(view->members[1].incarnation, 2001u);
  EXPECT_FALSE(x.take_view());
}

TEST(Membership, ASuccessorServesOnceEverybodyThereIsConnectedToEverybody) {
  auto x = with_successor(state::connected);
  EXPECT_TRUE(x.take_back().empty());
  x.connected(0, 2);
  x.connected(2, 1);
  EXPECT_TRUE(x.take_back().empty());
  x.connected(2, 2);
  EXPECT_EQ(x.take_back(), std::vector<node_id>{1});
  EXPECT_TRUE(x.take_back().empty());
  EXPECT_EQ(x.state_of(1), state::serving);
  EXPECT_FALSE(x.take_start());
}

TEST(Membership, ASuccessorMayBeLostInEveryStateAndHaveOneItself) {
  for (auto s :
       {state::loading, state::ready, state::connected, state::serving}) {
    SCOPED_TRACE(int(s));
    auto x = with_successor(s);
    EXPECT_FALSE(x.suspected(0, 1, 1001));
    EXPECT_TRUE(x.suspected(0, 1, 2001));
    EXPECT_TRUE(x.take_back().empty());
    ASSERT_TRUE(x.admit("b"));
    x.joined(1, {"b", 3001, {}});
    x.loaded(1);
    auto view = x.take_view();
    ASSERT_TRUE(view);
    EXPECT_EQ(view->number, s == state::loading ? 2u : 3u);
    for (node_id n = 0; n < 3; ++n)
      x.connected(n, view->number);
    EXPECT_EQ(x.take_back(), std::vector<node_id>{1});
  }
}

TEST(Membership, TwoMayComeBackAtOnce) {
  auto x = three_in(state::serving);
  lose(x, 1);
  lose(x, 2);
  x.joined(2, {"c", 2002, {}});
  x.loaded(2);
  EXPECT_EQ(x.take_view()->members[1].is, member_state::absent);
  x.joined(1, {"b", 2001, {}});
  x.loaded(1);
  EXPECT_EQ(x.take_view()->number, 3u);
  x.connected(0, 3);
  x.connected(1, 3);
  x.connected(2, 2);
  EXPECT_EQ(x.take_back(), std::vector<node_id>{2});
  EXPECT_TRUE(x.take_back().empty()) << "c holds no connection to b";
  x.connected(2, 3);
  EXPECT_EQ(x.take_back(), std::vector<node_id>{1});
}

TEST(Membership, GoesOnCountingViewsWhereAnotherStopped) {
  membership x{{"a"}, 41};
  bring(x, 0, state::ready);
  EXPECT_EQ(x.take_view()->number, 42u);
  EXPECT_FALSE(x.take_view());
}

TEST(Membership, NobodyWaitsForWhoIsLostMeanwhile) {
  auto x = with_successor(state::connected);
  x.connected(0, 2);
  EXPECT_TRUE(lose(x, 2));
  EXPECT_EQ(x.take_back(), std::vector<node_id>{1});
}

TEST(Membership, WhoIsOnItsWayInPutsNobodyOut) {
  for (auto s : {state::loading, state::ready, state::connected}) {
    auto x = with_successor(s);
    EXPECT_FALSE(x.suspected(1, 2, x.incarnation_of(2))) << int(s);
    EXPECT_TRUE(x.suspected(2, 1, 2001)) << int(s);
  }
  auto x = with_successor(state::serving);
  EXPECT_TRUE(x.suspected(1, 2, x.incarnation_of(2)));
}

// -- later --------------------------------------------------------------------

namespace {

/// Node 1 may come later.
membership that_grows() {
  membership x{{"a", "b", "c"}, 0, {1}, {1}};
  for (node_id n : {0, 2})
    bring(x, n, state::ready);
  return x;
}

membership that_grows_and_serves() {
  auto x = that_grows();
  EXPECT_TRUE(x.take_view());
  for (node_id n : {0, 2})
    x.connected(n, 1);
  EXPECT_TRUE(x.take_start());
  return x;
}

} // namespace

TEST(Membership, StartsWithoutWhoMayComeLater) {
  auto x = that_grows();
  EXPECT_EQ(x.missing(), "a (connecting), c (connecting)");
  auto first = x.take_view();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->members[1].is, member_state::absent);
  EXPECT_EQ(first->members[1].name, "b");
  EXPECT_EQ(first->members[1].incarnation, 0u);
  x.connected(0, 1);
  EXPECT_FALSE(x.take_start());
  x.connected(2, 1);
  EXPECT_TRUE(x.take_start());
  EXPECT_FALSE(x.take_start());
  EXPECT_EQ(x.missing(), "");
  EXPECT_EQ(x.state_of(1), state::absent);
  EXPECT_EQ(x.state_of(2), state::serving);
}

TEST(Membership, WhoMayComeLaterIsEarlyBeforeTheStart) {
  auto x = that_grows();
  ASSERT_TRUE(x.admit("b"));
  EXPECT_TRUE(x.is_early(1));
  EXPECT_FALSE(x.is_early(2));
  EXPECT_FALSE(that_grows_and_serves().is_early(1));
}

TEST(Membership, WhoComesLaterComesInAsWhoComesBack) {
  auto x = that_grows_and_serves();
  ASSERT_TRUE(x.admit("b"));
  x.joined(1, who("b"));
  EXPECT_FALSE(x.admit("b"));
  EXPECT_FALSE(x.take_view());
  x.loaded(1);
  auto next = x.take_view();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->members[1].is, member_state::joining);
  for (node_id n = 0; n < 3; ++n)
    x.connected(n, 2);
  EXPECT_EQ(x.take_back(), std::vector<node_id>{1});
}

TEST(Membership, WhoComesLaterAndDiesMayComeAgain) {
  auto x = that_grows_and_serves();
  EXPECT_FALSE(x.suspected(0, 1, 0)) << "there is nobody to suspect";
  x.joined(1, who("b"));
  EXPECT_TRUE(lose(x, 1));
  EXPECT_TRUE(x.admit("b"));
}

/// Of two that come back, who is first does not wait for the view of the other.
TEST(Membership, WhoComesInWaitsForNobodyWhoComesAfterIt) {
  auto x = three_in(state::serving);
  for (node_id n : {1, 2}) {
    EXPECT_TRUE(lose(x, n));
    x.joined(n, {n == 1 ? "b" : "c", 2000u + n, {}});
  }
  x.loaded(1);
  EXPECT_TRUE(x.take_view());
  x.loaded(2);
  EXPECT_TRUE(x.take_view());
  for (node_id n : {0, 1})
    x.connected(n, 2);
  EXPECT_EQ(x.take_back(), std::vector<node_id>{1}) << "2 came with view 3";
  x.connected(2, 3);
  EXPECT_TRUE(x.take_back().empty()) << "1 is not connected to 2 so far";
  x.connected(0, 3);
  x.connected(1, 3);
  EXPECT_EQ(x.take_back(), std::vector<node_id>{2});
}

TEST(Membership, WhoComesLaterMayHaveAnotherName) {
  membership x{{"a", "b"}, 0, {1}, {1}};
  x.rename(1, "new");
  EXPECT_FALSE(x.admit("b"));
  EXPECT_EQ(*x.admit("new"), 1u);
}

/// It may be refused yet: others know of the one before.
TEST(Membership, AViewDoesNotNameWhoIsStillLoading) {
  membership x{{"a", "b", "place-2"}, 0, {1}, {1, 2}};
  bring(x, 0, state::ready);
  EXPECT_TRUE(x.take_view());
  x.connected(0, 1);
  EXPECT_TRUE(x.take_start());
  x.rename(2, "guest");
  bring(x, 2, state::loading);
  bring(x, 1, state::ready);
  auto view = x.take_view();
  ASSERT_TRUE(view);
  EXPECT_EQ(view->members[2].name, "place-2");
  EXPECT_EQ(view->members[2].incarnation, 0u);
  EXPECT_EQ(view->members[2].is, member_state::absent);
  x.loaded(2);
  view = x.take_view();
  ASSERT_TRUE(view);
  EXPECT_EQ(view->members[2].name, "guest");
  EXPECT_NE(view->members[2].incarnation, 0u);
}
