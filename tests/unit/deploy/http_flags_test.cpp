#include "deploy/http_flags.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

TEST(HttpFlags, RefuseAnOriginThatNoBrowserSends) {
  http_flags flags;
  flags.origins = {"https://a.b", "*"};
  EXPECT_TRUE(flags.options());
  for (const auto* text : {"https://a.b/", "[\"*\"]"}) {
    flags.origins = {"https://a.b", text};
    auto got = flags.options();
    ASSERT_FALSE(got) << text;
    EXPECT_TRUE(got.why().message.starts_with("--allowed-origins: '"
                                              + std::string{text} + "'"))
      << got.why().message;
  }
}

TEST(HttpFlags, SetLimitsByTheirNames) {
  http_flags flags;
  flags.server.limits.guests.total = 7; // by a flag of its own
  flags.limits = {"body=16M", "idle-time=1min", "n=2"};
  auto got = flags.client_limits();
  ASSERT_TRUE(got) << got.why().message;
  EXPECT_EQ(got->server.reading.body.max_data, 16u << 20);
  EXPECT_EQ(got->requests.max_n, 2u);
  auto options = flags.options();
  ASSERT_TRUE(options) << options.why().message;
  EXPECT_EQ(options->limits.reading.body.max_data, 16u << 20);
  EXPECT_EQ(options->limits.idle, std::chrono::minutes{1});
  EXPECT_EQ(options->limits.guests.total, 7u);
}

TEST(HttpFlags, RefuseALimitThatIsNone) {
  http_flags flags;
  flags.limits = {"n=2", "m=2"};
  auto got = flags.options();
  ASSERT_FALSE(got);
  EXPECT_TRUE(got.why().message.starts_with("--http-limit: 'm=2' is no limit"))
    << got.why().message;
}

} // namespace
