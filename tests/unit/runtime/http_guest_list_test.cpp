/// Who may connect, and which addresses are whose.

#include "runtime/http/guest_list.hpp"

#include <gtest/gtest.h>

namespace troupe::http {

namespace {

ip_bytes ip(const std::string& text) {
  auto x = parse_address_range(text);
  EXPECT_TRUE(x) << text;
  return x->first;
}

// -- ranges -------------------------------------------------------------------

TEST(AddressRange, HoldsWhatBeginsWithItsBits) {
  auto holds = [](const char* range, const char* address) {
    return parse_address_range(range)->contains(ip(address));
  };
  EXPECT_TRUE(holds("10.0.0.0/8", "10.255.0.1"));
  EXPECT_FALSE(holds("10.0.0.0/8", "11.0.0.1"));
  EXPECT_TRUE(holds("10.1.2.128/25", "10.1.2.129"));
  EXPECT_FALSE(holds("10.1.2.128/25", "10.1.2.127"));
  EXPECT_TRUE(holds("10.1.2.3", "10.1.2.3"));
  EXPECT_TRUE(holds("10.1.2.3", "::ffff:10.1.2.3"));
  EXPECT_FALSE(holds("10.1.2.3", "10.1.2.2"));
  EXPECT_TRUE(holds("0.0.0.0/0", "1.2.3.4"));
  EXPECT_FALSE(holds("0.0.0.0/0", "fd00::1"));
  EXPECT_TRUE(holds("fd00::/9", "fd7f::1"));
  EXPECT_FALSE(holds("fd00::/9", "fd80::1"));
  EXPECT_TRUE(holds("::/0", "1.2.3.4"));
}

TEST(AddressRange, IsRefusedWhereItIsNone) {
  for (const auto* text :
       {"", "/8", "localhost", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
        "10.0.0.0/8x", "10.0.0/8", "::/129", "10.0.0.0/8/8", "256.0.0.1"})
    EXPECT_FALSE(parse_address_range(text)) << text;
}

TEST(AddressRange, TellsClientsApart) {
  EXPECT_EQ(origin_of(ip("10.1.2.3")), "10.1.2.3");
  EXPECT_EQ(origin_of(ip("::ffff:10.1.2.3")), "10.1.2.3");
  EXPECT_EQ(origin_of(ip("fd00:1:2:3:4::5")), "fd00:1:2:3::/64");
}

// -- guests -------------------------------------------------------------------

TEST(GuestList, LetsInAsManyOfAClientAsItsLimitSays) {
  guest_list list{{.total = 100, .per_client = 2}};
  auto a = ip("10.0.0.1"), b = ip("10.0.0.2");
  EXPECT_TRUE(list.enter(a).granted);
  EXPECT_TRUE(list.enter(a).granted);
  auto word = list.enter(a);
  EXPECT_FALSE(word.granted);
  EXPECT_EQ(word.why, "10.0.0.1 has as many connections open as an address may "
                      "have (2)");
  EXPECT_TRUE(list.enter(b).granted);
  list.leave(a);
  EXPECT_TRUE(list.enter(a).granted);
  EXPECT_FALSE(list.enter(a).granted);
  EXPECT_EQ(list.size(), 3u);
}

TEST(GuestList, CountsANetworkOfIpv6AsOneClient) {
  guest_list list{{.total = 100, .per_client = 1}};
  EXPECT_TRUE(list.enter(ip("fd00::1")).granted);
  EXPECT_FALSE(list.enter(ip("fd00::2")).granted);
  EXPECT_TRUE(list.enter(ip("fd00:0:0:1::2")).granted);
}

TEST(GuestList, LimitsTheExemptByTheTotalAlone) {
  guest_limits limits{.total = 5, .per_client = 1};
  limits.exempt.push_back(*parse_address_range("10.0.0.0/8"));
  guest_list list{limits};
  for (const auto* x :
       {"127.0.0.1", "127.0.0.1", "::1", "10.0.0.1", "10.0.0.1"})
    EXPECT_TRUE(list.enter(ip(x)).granted) << x;
  auto word = list.enter(ip("127.0.0.1"));
  EXPECT_FALSE(word.granted);
  EXPECT_EQ(word.why, "as many connections are open as may be (5)");
  list.leave(ip("10.0.0.1"));
  EXPECT_TRUE(list.enter(ip("127.0.0.1")).granted);
}

/// One more of `from` is turned away; returns whether that is to be told.
bool is_news(guest_list& list, const ip_bytes& from) {
  EXPECT_FALSE(list.enter(from).granted);
  return list.turn_away(from);
}

TEST(GuestList, SaysOnceOfAClientThatItIsTurnedAway) {
  guest_list list{{.total = 4, .per_client = 1}};
  auto a = ip("10.0.0.1"), b = ip("10.0.0.2");
  list.enter(a);
  list.enter(b);
  EXPECT_TRUE(is_news(list, a));
  EXPECT_FALSE(is_news(list, a));
  EXPECT_TRUE(is_news(list, b));
  list.leave(a); // all of its connections have ended
  list.enter(a);
  EXPECT_TRUE(is_news(list, a));
}

TEST(GuestList, SaysOnceThatAllIsFullUntilHalfIsFree) {
  guest_list list{{.total = 4}};
  auto a = ip("127.0.0.1");
  for (int i = 0; i < 4; ++i)
    list.enter(a);
  EXPECT_TRUE(is_news(list, a));
  EXPECT_FALSE(is_news(list, a));
  list.leave(a);
  list.enter(a);
  EXPECT_FALSE(is_news(list, a));
  list.leave(a);
  list.leave(a);
  list.enter(a);
  list.enter(a);
  EXPECT_TRUE(is_news(list, a));
}

/// Until they are let in, and after they were refused.
TEST(GuestList, HasRoomForOthersWhateverOneClientSends) {
  guest_limits limits{.total = 4, .per_client = 1};
  limits.surplus = 4;
  limits.surplus_per_client = 2;
  guest_list list{limits};
  auto a = ip("10.0.0.1"), b = ip("10.0.0.2"), c = ip("10.0.0.3");
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(list.arrive(a).granted);
  auto word = list.arrive(a);
  EXPECT_FALSE(word.granted);
  EXPECT_EQ(word.why, "10.0.0.1 has as many connections open as an address may "
                      "have (1)");
  EXPECT_TRUE(list.turn_away(a));
  EXPECT_FALSE(list.turn_away(a));
  EXPECT_TRUE(list.arrive(b).granted);
  EXPECT_TRUE(list.enter(b).granted);
  list.depart(a);
  EXPECT_TRUE(list.arrive(a).granted);
  for (int i = 0; i < 2; ++i)
    EXPECT_TRUE(list.arrive(b).granted);
  EXPECT_TRUE(list.arrive(c).granted);
  EXPECT_TRUE(list.arrive(c).granted);
  EXPECT_EQ(list.arrive(c).why, "as many connections are open as may be (4)");
  EXPECT_TRUE(list.turn_away(c));
  EXPECT_FALSE(list.turn_away(c));
  EXPECT_EQ(list.size(), 1u);
}

} // namespace

} // namespace troupe::http
