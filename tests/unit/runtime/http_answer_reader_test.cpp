/// Answers as a client reads them, cut anywhere.

#include "runtime/http/answer_reader.hpp"

#include <gtest/gtest.h>

namespace troupe::http {

namespace {

struct expected_answer {
  unsigned status = 200;
  std::string body = "0123456789";
  bool done = true;
  bool keep_alive = true;
  bool ends_here = true;
};

void expect(const std::string& text, const expected_answer& wanted) {
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    answer_reader x;
    std::string body;
    std::string_view all = text;
    ASSERT_TRUE(x.read(all.substr(0, cut), body)) << "cut at " << cut;
    ASSERT_EQ(x.begun(), cut > 0);
    ASSERT_TRUE(x.read(all.substr(cut), body)) << "cut at " << cut;
    ASSERT_EQ(x.status(), wanted.status) << "cut at " << cut;
    ASSERT_EQ(body, wanted.body) << "cut at " << cut;
    ASSERT_EQ(x.done(), wanted.done) << "cut at " << cut;
    ASSERT_EQ(x.keep_alive(), wanted.keep_alive) << "cut at " << cut;
    ASSERT_EQ(x.ends_here(), wanted.ends_here) << "cut at " << cut;
  }
}

TEST(AnswerReader, EndsABodyAtItsLength) {
  expect("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789", {});
  expect("HTTP/1.1 429 Slow\r\nContent-Length:10 \r\nConnection: close\r\n\r\n"
         "0123456789",
         {429, "0123456789", true, false});
  expect("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n0123456789",
         {200, "0123456789", false, false, false});
}

TEST(AnswerReader, EndsABodyWithItsLastChunk) {
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                           "\r\n4\r\n0123\r\n6;x=y\r\n456789\r\n";
  expect(head + "0\r\n\r\n", {});
  expect(head + "0\r\n", {200, "0123456789", false, false, false});
}

TEST(AnswerReader, EndsABodyWithoutLengthWhereTheConnectionEnds) {
  expect("HTTP/1.0 200 OK\r\n\r\n0123456789",
         {200, "0123456789", false, false, true});
}

TEST(AnswerReader, PassesOverWhatComesBeforeAnAnswer) {
  expect("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n", {204, ""});
  expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", {200, ""});
}

TEST(AnswerReader, RefusesWhatIsNoAnswer) {
  for (std::string text :
       {"HTTP/2 200 OK\r\n\r\n", "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"}) {
    answer_reader x;
    std::string body;
    EXPECT_FALSE(x.read(text, body)) << text;
  }
  answer_reader x;
  std::string body;
  EXPECT_FALSE(x.read(std::string(1 << 17, 'x'), body));
}

} // namespace

} // namespace troupe::http
