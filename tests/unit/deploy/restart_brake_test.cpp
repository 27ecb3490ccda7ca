#include "deploy/restart_brake.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

clock::instant at(seconds x) {
  return clock::instant{} + x;
}

} // namespace

TEST(RestartBrake, WaitsTwiceAsLongWithEachEndAndNoLongerThanTheLimit) {
  restart_brake x{{10, seconds{600}, milliseconds{500}, milliseconds{3000}}};
  for (auto wait : {500, 1000, 2000, 3000, 3000})
    EXPECT_EQ(x.ended(at(seconds{1})), milliseconds{wait});
}

TEST(RestartBrake, StartsWhoEndsTooOftenWhenThePeriodIsOver) {
  restart_brake x{{2, seconds{600}, milliseconds{500}, milliseconds{3000}}};
  EXPECT_TRUE(x.ended(at(seconds{0})));
  EXPECT_TRUE(x.ended(at(seconds{1})));
  EXPECT_EQ(x.ended(at(seconds{2})), seconds{598}) << "the first is forgotten";
  EXPECT_EQ(x.ended(at(seconds{600})), seconds{1}) << "and then the second";
  EXPECT_EQ(x.ended(at(seconds{601})), seconds{1});
  EXPECT_EQ(x.ended(at(seconds{2000})), milliseconds{500});
}

TEST(RestartBrake, MayForbidThemAll) {
  EXPECT_FALSE(restart_brake{{.most = 0}}.ended(at(seconds{0})));
}
