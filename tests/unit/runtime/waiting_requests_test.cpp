#include "runtime/cluster/waiting_requests.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

using ids = std::vector<request_id>;

clock::instant at(int64_t s) {
  return clock::instant{std::chrono::seconds{s}};
}

} // namespace

TEST(WaitingRequests, WaitUntilTheFirstTimeThatWasSaid) {
  waiting_requests all;
  all.add(1, at(10), false);
  all.add(2, at(20), false);
  all.add(1, at(30), true);
  EXPECT_EQ(all.overdue(at(9)), ids{});
  EXPECT_EQ(all.overdue(at(10)), ids{1});
  EXPECT_FALSE(all.is_late(1));
  all.erase(1);
  EXPECT_EQ(all.overdue(at(20)), ids{2});
  all.erase(2);
  EXPECT_TRUE(all.is_empty());
}

TEST(WaitingRequests, AreLateUntilWhoLeavesStays) {
  waiting_requests all;
  all.add(1, at(10), true);
  all.add(2, at(10), false);
  EXPECT_TRUE(all.is_late(1));
  EXPECT_FALSE(all.is_late(3));
  EXPECT_EQ(all.in_time(), ids{2});
  all.forgive();
  EXPECT_FALSE(all.is_late(1));
  EXPECT_EQ(all.in_time(), (ids{1, 2}));
}

TEST(WaitingRequests, WhatNobodyWantsIsForgotten) {
  waiting_requests all;
  for (request_id id : {1, 2, 3})
    all.add(id, at(10), false);
  all.keep([](auto id) { return id == 2; });
  EXPECT_EQ(all.in_time(), ids{2});
}
