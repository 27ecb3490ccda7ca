#include "runtime/cluster/told_to_end.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

cluster_status with(const std::string& state, drain_state drain) {
  cluster_status out;
  out.nodes = {{.node = 0, .name = "a", .state = "serving", .why = {}},
               {.node = 1, .name = "b", .state = state, .why = {}}};
  out.drain = drain_progress{.node = "b", .state = drain};
  return out;
}

} // namespace

TEST(ToldToEnd, IsWhoLeavesInPeaceAndNobodyElse) {
  EXPECT_TRUE(was_told_to_end(with("leaving", drain_state::ending), "b"));
  EXPECT_TRUE(was_told_to_end(with("left", drain_state::left), "b"));
  EXPECT_FALSE(was_told_to_end(with("leaving", drain_state::emptying), "b"));
  EXPECT_FALSE(was_told_to_end(with("serving", drain_state::stays), "b"));
  EXPECT_FALSE(was_told_to_end(with("lost", drain_state::lost), "b"));
  EXPECT_FALSE(was_told_to_end(with("left", drain_state::ending), "a"));
}

TEST(ToldToEnd, IsNotWhoHasComeBackSince) {
  EXPECT_FALSE(was_told_to_end(with("serving", drain_state::left), "b"));
  EXPECT_FALSE(was_told_to_end(with("lost", drain_state::left), "b"));
}
