#include "kernels/check.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace troupe {

TEST(Check, SaysWhatTheThreadIsAbout) {
  EXPECT_DEATH(CHECK(1 > 2), "CHECK\\(1 > 2\\) failed\n");
  check_context outer{"a run"};
  {
    check_context inner{"seed 7"};
    EXPECT_DEATH(CHECK(false), "CHECK\\(false\\) failed in seed 7\n");
  }
  EXPECT_STREQ(check_context::present(), "a run");
  std::jthread{[] { EXPECT_EQ(check_context::present(), nullptr); }};
}

} // namespace troupe
