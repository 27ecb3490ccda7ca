#include "runtime/cluster/node_life.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

using stage = node_life::stage;
using entrance = node_life::entrance;

const failure broken{errc::step_failed, "the curtain is stuck"};
const failure lost{errc::peer_lost, "the controller is gone"};

TEST(NodeLife, LeadsForwardFromSettingToLeft) {
  node_life x;
  EXPECT_EQ(x.at(), stage::setting);
  x.act();
  EXPECT_EQ(x.at(), stage::acting);
  x.start();
  EXPECT_EQ(x.at(), stage::serving);
  EXPECT_FALSE(x.is_over());
  EXPECT_TRUE(x.end(std::nullopt));
  EXPECT_EQ(x.at(), stage::ending);
  EXPECT_TRUE(x.is_over());
  x.leave();
  EXPECT_EQ(x.at(), stage::left);
}

TEST(NodeLife, NeverGoesBack) {
  node_life x;
  x.start(); // without a cast nothing serves
  EXPECT_EQ(x.at(), stage::setting);
  x.act();
  x.end(std::nullopt);
  x.act();
  x.start();
  EXPECT_EQ(x.at(), stage::ending);
  x.leave();
  x.act();
  x.start();
  EXPECT_FALSE(x.end(broken));
  EXPECT_EQ(x.at(), stage::left);
}

TEST(NodeLife, KeepsTheFirstCauseOfItsEnd) {
  node_life x;
  x.act();
  EXPECT_FALSE(x.cause());
  EXPECT_TRUE(x.end(broken));
  EXPECT_FALSE(x.end(lost));
  EXPECT_FALSE(x.end(std::nullopt));
  x.leave();
  ASSERT_TRUE(x.cause());
  EXPECT_EQ(x.cause()->message, broken.message);
}

TEST(NodeLife, HasNoCauseWhenItWasAskedToEnd) {
  for (auto is_leaving : {false, true}) {
    node_life x;
    x.act();
    if (is_leaving)
      x.leave();
    else
      x.end(std::nullopt);
    EXPECT_FALSE(x.end(broken)) << "what breaks on the way out is no cause";
    EXPECT_FALSE(x.cause());
  }
}

TEST(NodeLife, LetsEventsInWhileACastIsThere) {
  node_life x;
  EXPECT_EQ(x.for_events(), entrance::wait);
  x.act();
  EXPECT_EQ(x.for_events(), entrance::go);
  x.start();
  EXPECT_EQ(x.for_events(), entrance::go);
  x.end(broken);
  EXPECT_EQ(x.for_events(), entrance::go) << "others are still leaving";
  x.leave();
  EXPECT_EQ(x.for_events(), entrance::never);
}

TEST(NodeLife, MayEndBeforeItsCastIsSet) {
  node_life x;
  x.end(lost);
  EXPECT_TRUE(x.is_over());
  x.leave();
  EXPECT_EQ(x.for_events(), entrance::never);
}

} // namespace
} // namespace troupe
