#include "runtime/batching/step_times.hpp"
#include "runtime/pipeline/shared_time.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

using namespace std::chrono_literals;

constexpr clock::instant start{};

} // namespace

TEST(SharedTime, OfAStepThatIsAloneIsAllOfIt) {
  shared_time x;
  x.began(2, start + 1h);
  EXPECT_EQ(x.ended(2, start + 1h + 3ms), 3ms);
  x.began(2, start + 2h);
  EXPECT_EQ(x.ended(2, start + 2h + 1ms), 1ms) << "rests are nobody's";
}

TEST(SharedTime, IsNotThatOfTheStepWhichAnotherHasWaitedFor) {
  shared_time x;
  x.began(0, start);
  x.began(1, start + 2ms);
  EXPECT_EQ(x.ended(0, start + 6ms), 4ms);
  x.began(3, start + 7ms);
  EXPECT_EQ(x.ended(3, start + 9ms), 1ms);
  EXPECT_EQ(x.ended(1, start + 10ms), 5ms);
}

/// Two lanes that are never idle, of a machine that takes 1 ms for what costs
/// 1: from begin to end each step takes what both do.
TEST(SharedTime, LearnsWhatWorkTakesWhateverTheNumberOfLanes) {
  shared_time shares;
  step_times times;
  auto now = start;
  std::array<clock::instant, 2> begun{now, now};
  shares.began(0, now);
  shares.began(1, now);
  for (int i = 0; i < 100; ++i)
    for (uint8_t lane : {0, 1}) {
      now += 4ms;
      times.add(4, now - begun[lane], shares.ended(lane, now));
      shares.began(lane, begun[lane] = now);
    }
  EXPECT_NEAR(times.seconds_for(100), 100e-3, 5e-3);
  EXPECT_NEAR(*times.cost_within(40ms), 20, 1)
    << "until its end it takes twice";
}
