#include "runtime/duration.hpp"

#include "tests/unit/runtime/fuzz.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

TEST(Duration, IsReadToTheNanosecond) {
  EXPECT_EQ(parse_duration("0s"), 0ns);
  EXPECT_EQ(parse_duration("10s"), 10s);
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_duration("0.000000001s"), 1ns);
  EXPECT_EQ(parse_duration("2.5ms"), 2500us);
  EXPECT_EQ(parse_duration("7us"), 7us);
  EXPECT_EQ(parse_duration("3ns"), 3ns);
  EXPECT_EQ(parse_duration("1.5min"), 90s);
  EXPECT_EQ(parse_duration("1.500ns"), std::nullopt);
  EXPECT_EQ(parse_duration("1.000ns"), 1ns);
  EXPECT_EQ(parse_duration("999999.999999999s"), 1'000'000s - 1ns);
}

TEST(Duration, RefusesWhatIsNone) {
  for (auto text : {"", "s", "10", "-1s", "+1s", "1 s", ".5s", "1.s", "1.5.0s",
                    "1e3s", "0x1s", "1h", "1000000s", "99999999999999999999s",
                    "0.0000000001s", "nans", "1S"})
    EXPECT_FALSE(parse_duration(text)) << text;
}

TEST(Duration, IsWrittenAsItIsRead) {
  EXPECT_EQ(render_duration(0ns), "0s");
  EXPECT_EQ(render_duration(1500ms), "1500ms");
  EXPECT_EQ(render_duration(60s), "60s");
  EXPECT_EQ(render_duration(7us), "7us");
  EXPECT_EQ(render_duration(1ns), "1ns");
  test::chance dice;
  for (int i = 0; i < 1000; ++i) {
    auto x = std::chrono::nanoseconds{
      int64_t(dice.below(1'000'000'000'000'000) >> dice.below(50))};
    EXPECT_EQ(parse_duration(render_duration(x)), x);
  }
}
