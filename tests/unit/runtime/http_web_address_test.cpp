/// Addresses of servers as people write them.

#include "runtime/http/web_address.hpp"

#include <gtest/gtest.h>

namespace troupe::http {

namespace {

TEST(WebAddress, HasSchemeHostPortAndPath) {
  struct {
    const char* text;
    bool tls;
    const char* host;
    uint16_t port;
    const char* path;
    const char* authority;
  } cases[] = {
    {"http://a", false, "a", 80, "", "a"},
    {"http://a:8000/", false, "a", 8000, "", "a:8000"},
    {"https://a.b.c/v1/", true, "a.b.c", 443, "/v1", "a.b.c"},
    {"https://a:80/x/y", true, "a", 80, "/x/y", "a:80"},
    {"http://[::1]:9/v1", false, "::1", 9, "/v1", "[::1]:9"},
    {"http://[::1]", false, "::1", 80, "", "[::1]"},
  };
  for (auto& x : cases) {
    auto got = parse_web_address(x.text);
    ASSERT_TRUE(got) << x.text << ": " << got.why().message;
    EXPECT_EQ(got->tls, x.tls) << x.text;
    EXPECT_EQ(got->host, x.host) << x.text;
    EXPECT_EQ(got->port, x.port) << x.text;
    EXPECT_EQ(got->path, x.path) << x.text;
    EXPECT_EQ(got->authority(), x.authority) << x.text;
  }
}

TEST(WebAddress, IsRefusedWhereItIsNone) {
  for (auto text : {"", "a:80", "ftp://a", "http://", "http://:80",
                    "http:///v1", "http://a:0", "http://a:65536", "http://a:8x",
                    "http://a:", "http://[::1", "http://[::1]x:9", "http://u@a",
                    "http://a/?q", "http://a b", "http://a\r\nX: y"})
    EXPECT_FALSE(parse_web_address(text)) << text;
}

} // namespace

} // namespace troupe::http
