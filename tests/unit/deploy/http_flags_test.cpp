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

} // namespace
