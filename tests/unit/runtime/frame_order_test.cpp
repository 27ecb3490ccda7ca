#include "runtime/transport/frame_order.hpp"

#include <gtest/gtest.h>

namespace troupe {

namespace {

using verdict = frame_order::verdict;

frame_header numbered(frame_class kind, uint16_t sequence) {
  frame_header x;
  x.kind = kind;
  x.sequence = sequence;
  return x;
}

/// An order that has taken `n` frames of control.
frame_order after(uint32_t n) {
  frame_order out;
  for (uint32_t i = 0; i < n; ++i)
    EXPECT_EQ(out.decide(numbered(frame_class::control, uint16_t(i))),
              verdict::take);
  return out;
}

verdict decide(frame_order& x, uint16_t sequence) {
  return x.decide(numbered(frame_class::control, sequence));
}

} // namespace

TEST(FrameOrder, TakesWhatTheOtherSideNumbers) {
  frame_order there, here;
  using enum frame_class;
  for (int round = 0; round < 1000; ++round)
    for (auto kind : {control, dispatch, bulk, heartbeat, combine, control})
      EXPECT_EQ(here.decide(numbered(kind, there.number(kind))), verdict::take);
}

TEST(FrameOrder, CountsEachLaneFromZero) {
  frame_order x;
  using enum frame_class;
  EXPECT_EQ(x.number(control), 0);
  EXPECT_EQ(x.number(heartbeat), 1);
  EXPECT_EQ(x.number(dispatch), 0);
  EXPECT_EQ(x.number(combine), 1);
  EXPECT_EQ(x.number(bulk), 0);
  EXPECT_EQ(x.number(control), 2);
}

TEST(FrameOrder, CountsBothWaysApart) {
  frame_order x;
  for (int i = 0; i < 3; ++i)
    x.number(frame_class::control);
  EXPECT_EQ(decide(x, 0), verdict::take);
  EXPECT_EQ(x.number(frame_class::control), 3);
}

TEST(FrameOrder, GoesOnAtZeroBehindItsLastNumber) {
  auto x = after(65535);
  EXPECT_EQ(decide(x, 0), verdict::gap);
  EXPECT_EQ(decide(x, 65535), verdict::take);
  EXPECT_EQ(decide(x, 65535), verdict::repeated);
  EXPECT_EQ(decide(x, 1), verdict::gap);
  EXPECT_EQ(decide(x, 0), verdict::take);
  EXPECT_EQ(decide(x, 1), verdict::take);
  for (uint32_t i = 0; i < 65536; ++i)
    x.number(frame_class::bulk);
  EXPECT_EQ(x.number(frame_class::bulk), 0);
}

TEST(FrameOrder, RefusesWhatHasComeAndTakesTheNextAllTheSame) {
  auto x = after(300);
  for (uint16_t old : {0, 1, 150, 299})
    EXPECT_EQ(decide(x, old), verdict::repeated);
  EXPECT_EQ(decide(x, 300), verdict::take);
}

TEST(FrameOrder, MissesAFrameOnceALaterOneHasCome) {
  auto x = after(300);
  for (uint16_t late : {301, 302, 1000})
    EXPECT_EQ(decide(x, late), verdict::gap);
  EXPECT_EQ(decide(x, 300), verdict::take) << "a gap takes no number";
}

TEST(FrameOrder, TellsWhatIsOldFromWhatIsNewByHalfTheNumbers) {
  for (uint32_t n : {0u, 300u, 40000u, 70000u}) {
    auto x = after(n);
    EXPECT_EQ(decide(x, uint16_t(n + 32767)), verdict::gap);
    EXPECT_EQ(decide(x, uint16_t(n + 32768)), verdict::repeated);
    EXPECT_EQ(decide(x, uint16_t(n - 1)), verdict::repeated);
  }
}

TEST(FrameOrder, LetsNoLaneWaitForAnother) {
  frame_order x;
  EXPECT_EQ(decide(x, 1), verdict::gap);
  EXPECT_EQ(x.decide(numbered(frame_class::combine, 0)), verdict::take);
  EXPECT_EQ(x.decide(numbered(frame_class::dispatch, 1)), verdict::take);
  EXPECT_EQ(x.decide(numbered(frame_class::combine, 3)), verdict::gap);
  EXPECT_EQ(x.decide(numbered(frame_class::bulk, 0)), verdict::take);
}

TEST(FrameOrder, AnnouncesRowsAndBulkByAHeartbeat) {
  frame_order x;
  using enum frame_class;
  EXPECT_EQ(x.announcement(), 0u);
  for (auto kind : {control, dispatch, combine, bulk, dispatch, heartbeat})
    x.number(kind);
  EXPECT_EQ(x.announcement(), uint64_t{1} << 32 | 3);
}

namespace {

/// A heartbeat of a side that has sent so many frames before.
frame_header telling(uint32_t rows, uint32_t bulk) {
  auto x = numbered(frame_class::heartbeat, 0);
  x.first = uint64_t{bulk} << 32 | rows;
  return x;
}

} // namespace

TEST(FrameOrder, MissesTheEndOfALaneAtTheSecondHeartbeatBehindIt) {
  for (auto missing : {telling(2, 0), telling(1, 1)}) {
    frame_order x;
    EXPECT_EQ(x.decide(numbered(frame_class::combine, 0)), verdict::take);
    EXPECT_FALSE(x.misses(telling(1, 0), {}));
    EXPECT_FALSE(x.misses(missing, {})) << "it may be a little late";
    EXPECT_TRUE(x.misses(missing, {}));
  }
}

TEST(FrameOrder, MissesNothingThatComesBeforeTheSecondHeartbeat) {
  frame_order x;
  for (uint16_t i = 0; i < 10; ++i) {
    EXPECT_FALSE(x.misses(telling(i + 1u, i + 1u), {}));
    EXPECT_EQ(x.decide(numbered(frame_class::dispatch, i)), verdict::take);
    EXPECT_EQ(x.decide(numbered(frame_class::bulk, i)), verdict::take);
  }
}

TEST(FrameOrder, MissesNothingThatWaitsForItsTurn) {
  frame_order x;
  for (int i = 0; i < 10; ++i)
    EXPECT_FALSE(x.misses(telling(3, 70000), {0, 3, 70000}));
  EXPECT_TRUE(x.misses(telling(3, 70000), {0, 2, 70000}));
  EXPECT_TRUE(x.misses(telling(3, 70000), {0, 3, 69999}));
}

TEST(FrameOrder, MissesNothingHoweverManyCameSinceTheHeartbeat) {
  frame_order x;
  EXPECT_FALSE(x.misses(telling(1, 0), {}));
  for (uint32_t i = 0; i < 100000; ++i)
    EXPECT_EQ(x.decide(numbered(frame_class::combine, uint16_t(i))),
              verdict::take);
  EXPECT_FALSE(x.misses(telling(100000, 0), {}));
  EXPECT_FALSE(x.misses(telling(100001, 0), {}));
  EXPECT_TRUE(x.misses(telling(100001, 0), {}));
}

TEST(FrameOrder, MissesNothingAtTheFirstHeartbeatHoweverLate) {
  frame_order x;
  constexpr uint32_t many = (uint32_t{1} << 31) + 1;
  EXPECT_FALSE(x.misses(telling(many, many), {0, many, many}));
  EXPECT_FALSE(x.misses(telling(many, many), {0, many, many}));
  EXPECT_TRUE(x.misses(telling(many, many), {0, many, many - 1}));
}

TEST(FrameOrder, HasNoNumberForAHello) {
  frame_order x;
  EXPECT_EQ(x.number(frame_class::hello), 0);
  EXPECT_EQ(x.number(frame_class::control), 0);
  EXPECT_EQ(x.decide(numbered(frame_class::hello, 0)), verdict::repeated);
  EXPECT_EQ(decide(x, 0), verdict::take);
}

} // namespace troupe
