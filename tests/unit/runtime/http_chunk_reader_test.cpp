#include "runtime/http/chunk_reader.hpp"

#include <gtest/gtest.h>

namespace troupe::http {

namespace {

struct outcome {
  std::string data;
  std::string rest; ///< What the reader left.
  bool done = false;
  std::optional<errc> error;

  bool operator==(const outcome&) const = default;
};

/// Reads `text` in pieces of `size` bytes.
outcome read(const std::string& text, size_t size = SIZE_MAX,
             const chunk_limits& limits = {}) {
  chunk_reader reader{limits};
  outcome x;
  for (size_t at = 0; at < text.size() && !reader.done();) {
    auto piece = std::string_view{text}.substr(at, size);
    auto used = reader.read(piece, x.data);
    if (!used) {
      x.error = used.why().code;
      return x;
    }
    at += *used;
    x.rest = text.substr(at);
    EXPECT_TRUE(reader.done() || *used == piece.size());
  }
  x.done = reader.done();
  return x;
}

TEST(ChunkReader, GivesTheDataAndLeavesWhatFollows) {
  auto x = read("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nGET /");
  EXPECT_EQ(x, (outcome{"abc0123456789", "GET /", true, {}}));
  EXPECT_EQ(read("0\r\n\r\n"), (outcome{"", "", true, {}}));
}

TEST(ChunkReader, GivesTheSameWhereverTheBytesAreCut) {
  const std::string texts[]
    = {"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\nmore",
       "3;a=b;c=\"d e\"\r\nabc\r\n0;x\r\nA: b\r\nC:\r\n\r\n",
       "3\r\nabcd\r\n0\r\n\r\n", "0\r\nA: b\r\n c\r\n\r\n"};
  for (const auto& text : texts)
    for (size_t size = 1; size < text.size(); ++size) {
      auto x = read(text, size);
      auto whole = read(text);
      EXPECT_EQ(x.data, whole.data) << text << " in pieces of " << size;
      EXPECT_EQ(x.done, whole.done) << text << " in pieces of " << size;
      EXPECT_EQ(x.error, whole.error) << text << " in pieces of " << size;
    }
}

TEST(ChunkReader, DropsExtensionsAndTrailers) {
  auto x = read("3;Authorization=a\r\nabc\r\n0\r\nAuthorization: Bearer k\r\n"
                "Content-Length: 5\r\n\r\n");
  EXPECT_EQ(x, (outcome{"abc", "", true, {}}));
}

TEST(ChunkReader, RefusesWhatMakesNoSense) {
  for (const std::string text : {"\r\n",
                                 ";x\r\n",
                                 "-1\r\n",
                                 "+1\r\n",
                                 "0x1\r\n",
                                 " 1\r\n",
                                 "1 \r\n",
                                 "g\r\n",
                                 "1\n",
                                 "1\rx",
                                 "1\r\nab",
                                 "1\r\na\n",
                                 "1\r\na\rb",
                                 "00000000000000001\r\n",
                                 "1;a\n",
                                 "1;a\rb",
                                 "0\r\n\n",
                                 "0\r\n\rx",
                                 "0\r\nno colon\r\n",
                                 "0\r\n: no name\r\n",
                                 "0\r\n folded: x\r\n",
                                 "0\r\na: b\n",
                                 "0\r\na: b\rc",
                                 "0\r\na b: c\r\n"})
    EXPECT_EQ(read(text).error, errc::invalid_input) << text;
  EXPECT_EQ(read(std::string("1;a\0b", 5)).error, errc::invalid_input);
  EXPECT_EQ(read(std::string("0\r\na: \0", 7)).error, errc::invalid_input);
}

TEST(ChunkReader, TakesDataUpToTheLimitAndRefusesMoreBeforeItComes) {
  chunk_limits limits;
  limits.max_data = 10;
  EXPECT_TRUE(read("a\r\n0123456789\r\n0\r\n\r\n", 3, limits).done);
  EXPECT_TRUE(read("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", 3, limits).done);
  EXPECT_EQ(read("b\r\n", 1, limits).error, errc::overloaded);
  EXPECT_EQ(read("a\r\n0123456789\r\n1\r\n", 1, limits).error,
            errc::overloaded);
  EXPECT_EQ(read("a\r\n0123456789\r\nffffffffffffffff\r\n", 1, limits).error,
            errc::overloaded);
  EXPECT_EQ(read("ffffffffffffffff\r\n").error, errc::overloaded);
}

TEST(ChunkReader, TakesExtensionsUpToTheLimitOfAllTogether) {
  chunk_limits limits;
  limits.max_extensions = 10;
  EXPECT_TRUE(read("1;45678\r\na\r\n0;12345\r\n\r\n", 7, limits).done);
  EXPECT_EQ(read("1;45678\r\na\r\n0;123456\r\n\r\n", 7, limits).error,
            errc::invalid_input);
}

TEST(ChunkReader, TakesTrailersUpToTheLimitOfAllTogether) {
  chunk_limits limits;
  limits.max_trailers = 10; // with the CR of the empty line
  EXPECT_TRUE(read("0\r\nab:cdefg\r\n\r\n", 7, limits).done);
  EXPECT_EQ(read("0\r\nab:cdefgh\r\n\r\n", 7, limits).error,
            errc::invalid_input);
  EXPECT_TRUE(read("0\r\na:c\r\nb:\r\n\r\n", 7, limits).done);
  EXPECT_EQ(read("0\r\na:cd\r\nb:cd\r\n\r\n", 7, limits).error,
            errc::invalid_input);
}

} // namespace

} // namespace troupe::http
