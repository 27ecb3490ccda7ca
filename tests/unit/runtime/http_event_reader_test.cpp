/// Streams of events, cut anywhere.

#include "runtime/http/event_reader.hpp"

#include <gtest/gtest.h>

namespace troupe::http {

namespace {

using texts = std::vector<std::string>;

TEST(EventReader, ReadsEventsWhereverTheyAreCut) {
  const std::string all = ": hello\n\ndata: one\n\nevent: x\r\ndata:two\r\n"
                          "data:  three\r\n\r\n\n\nid: 1\n\ndata:\n\n"
                          "data: [DONE]\n\ndata: begun\n";
  const texts expected = {"one", "two\n three", "", "[DONE]"};
  for (size_t i = 0; i <= all.size(); ++i)
    for (size_t k = i; k <= all.size(); ++k) {
      event_reader reader;
      texts got;
      std::string_view text = all;
      EXPECT_TRUE(reader.read(text.substr(0, i), got));
      EXPECT_TRUE(reader.read(text.substr(i, k - i), got));
      EXPECT_TRUE(reader.read(text.substr(k), got));
      ASSERT_EQ(got, expected) << "cut at " << i << " and " << k;
    }
}

TEST(EventReader, GivesUpOnAnEventWithoutEnd) {
  event_reader line, lines;
  texts got;
  EXPECT_TRUE(line.read(std::string(event_reader::max_event, 'x'), got));
  EXPECT_FALSE(line.read("x", got));
  auto piece = "data: " + std::string(1 << 20, 'x') + "\n";
  bool ok = true;
  for (size_t i = 0; i <= event_reader::max_event >> 20 && ok; ++i)
    ok = lines.read(piece, got);
  EXPECT_FALSE(ok);
  EXPECT_TRUE(got.empty());
}

} // namespace

} // namespace troupe::http
