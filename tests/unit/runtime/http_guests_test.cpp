/// Connections beyond a limit, as a client sees them.

#include "tests/unit/runtime/http_server_fixture.hpp"

#include <algorithm>

namespace troupe::http {

namespace {

using HttpGuests = http_server_fixture;

/// Two connections of one address, none of them exempt.
server_limits two_guests() {
  server_limits limits;
  limits.guests.per_client = 2;
  limits.guests.exempt.clear();
  limits.patience = std::chrono::milliseconds{20};
  return limits;
}

TEST_F(HttpGuests, Says503ToTheConnectionsBeyondTheLimitOfAnAddress) {
  start(two_guests());
  test::http_client a{server_->port()};
  test::http_client b{server_->port()};
  for (auto* x : {&a, &b}) {
    x->send(post("/echo", "in"));
    EXPECT_EQ(x->receive().body, "in");
  }
  for (uint64_t i = 1; i <= 3; ++i) {
    test::http_client c{server_->port()};
    c.send(post("/echo", "in"));
    auto got = c.receive();
    EXPECT_EQ(got.status, 503);
    EXPECT_EQ(got.headers["connection"], "close");
    EXPECT_EQ(got.body, "127.0.0.1 has as many connections open as an address "
                        "may have (2)");
    EXPECT_TRUE(c.at_end());
    EXPECT_EQ(counts_->turned_away, i);
  }
  EXPECT_EQ(counts_->open, 2u);
  auto turned_away = [](auto& line) {
    return line.starts_with("turning connections away: 127.0.0.1");
  };
  // Each exchange has a line of its own, also the last.
  EXPECT_EQ(std::ranges::count_if(logged(2 + 3 + 1), turned_away), 1);
}

TEST_F(HttpGuests, HasRoomForWhoeverComesInsteadOfOneThatHasJustGone) {
  auto limits = two_guests();
  limits.patience = std::chrono::seconds{60};
  start(limits);
  std::vector<test::http_client> open;
  for (int i = 0; i < 300; ++i) {
    if (open.size() == 2)
      open.erase(open.begin());
    open.emplace_back(server_->port());
    open.back().send(post("/echo", "in"));
    ASSERT_EQ(open.back().receive().status, 200);
  }
  EXPECT_EQ(counts_->turned_away, 0u);
}

TEST_F(HttpGuests, DoesNotCountWhomItHasTurnedAway) {
  auto limits = two_guests();
  limits.linger = std::chrono::seconds{60};
  start(limits);
  std::vector<test::http_client> refused;
  for (int i = 0; i < 10; ++i) {
    refused.emplace_back(server_->port());
    refused.back().send("no request\r\n\r\n");
    EXPECT_EQ(refused.back().receive().status, 400);
  }
  EXPECT_EQ(status_of(post("/echo", "in")), 200);
  EXPECT_EQ(counts_->turned_away, 0u);
}

TEST_F(HttpGuests, ClosesWithoutAWordWhatIsBeyondTheSurplus) {
  auto limits = two_guests();
  limits.guests.total = 1;
  limits.guests.surplus = 0;
  start(limits);
  test::http_client a{server_->port()};
  a.send(post("/echo", "in"));
  EXPECT_EQ(a.receive().body, "in");
  test::http_client b{server_->port()};
  EXPECT_TRUE(b.at_end());
  EXPECT_EQ(counts_->turned_away, 1u);
}

/// Those who are not in yet, too: who says nothing, and who has been refused.
TEST_F(HttpGuests, HasRoomForOthersThoughOneAddressHasSentMoreThanMayBe) {
  auto limits = two_guests();
  limits.guests.per_client = 4;
  limits.guests.surplus = 4;
  limits.guests.surplus_per_client = 2;
  limits.linger = std::chrono::seconds{60};
  start(limits);
  std::vector<test::http_client> refused;
  for (int i = 0; i < 6; ++i) {
    refused.emplace_back(server_->port());
    refused.back().send("no request\r\n\r\n");
    EXPECT_EQ(refused.back().receive().status, 400);
  }
  for (uint64_t i = 1; i <= 3; ++i) {
    test::http_client beyond{server_->port()};
    EXPECT_TRUE(beyond.at_end());
    EXPECT_EQ(counts_->turned_away, i);
  }
  EXPECT_EQ(counts_->open, 0u);
  auto turned_away = [](auto& line) {
    return line.starts_with("turning connections away: 127.0.0.1");
  };
  EXPECT_EQ(std::ranges::count_if(logged(1), turned_away), 1);
}

TEST_F(HttpGuests, HasNoLimitForThisMachineItself) {
  start();
  std::vector<test::http_client> open;
  for (int i = 0; i < 200; ++i) {
    open.emplace_back(server_->port());
    open.back().send(post("/echo", "in"));
    ASSERT_EQ(open.back().receive().status, 200);
  }
  EXPECT_EQ(counts_->open, 200u);
}

} // namespace

} // namespace troupe::http
