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
  if (to == state::connected)
    x.connected(node);
  if (to == state::lost) {
    EXPECT_TRUE(lose(x, node));
  }
}

membership three_in(state to) {
  auto x = three();
  for (node_id n = 0; n < 3; ++n)
    bring(x, n, to);
  return x;
}

constexpr state all_states[] = {state::absent, state::loading, state::ready,
                                state::connected, state::lost};

} // namespace

TEST(Membership, AdmitsNamesOfTheTopologyThatNobodyHas) {
  auto x = three();
  EXPECT_EQ(*x.admit("c"), 2);
  auto stranger = x.admit("d");
  ASSERT_FALSE(stranger);
  EXPECT_EQ(stranger.why().code, errc::refused);
  EXPECT_NE(stranger.why().message.find("named d"), std::string::npos);
}

TEST(Membership, AdmitsNobodyUnderANameThatWasEverTaken) {
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
    connected.connected(1);
    EXPECT_EQ(connected.state_of(1), s == state::ready ? state::connected : s);
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
    auto complete = s == state::ready || s == state::connected;
    EXPECT_EQ(x.take_view().has_value(), complete) << int(s);
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
  for (auto s : all_states) {
    x = three();
    bring(x, 0, state::connected);
    bring(x, 1, state::connected);
    bring(x, 2, s);
    EXPECT_EQ(x.take_start(), s == state::connected) << int(s);
  }
}

TEST(Membership, SaysForWhomTheStartWaits) {
  auto x = three();
  EXPECT_EQ(x.missing(), "a (absent), b (absent), c (absent)");
  bring(x, 0, state::connected);
  bring(x, 1, state::loading);
  bring(x, 2, state::lost);
  EXPECT_EQ(x.missing(), "b (loading), c (lost)");
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
  x.connected(3);
  EXPECT_FALSE(x.suspected(0, 65535, 1001));
  EXPECT_FALSE(x.suspected(65535, 1, 1001));
  EXPECT_TRUE(x.take_view().has_value());
}
