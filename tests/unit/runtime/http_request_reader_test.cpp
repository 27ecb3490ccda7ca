#include "runtime/http/request_reader.hpp"

#include <gtest/gtest.h>

namespace troupe::http {

namespace {

using stage = request_reader::stage;

const std::string start_line = "POST /path?query HTTP/1.1\r\n";

TEST(RequestReader, StopsBehindTheHeadUntilItIsToldToGoOn) {
  request_reader reader;
  reader.add(start_line + "Host: x\r\nAuthorization: Bearer k\r\n"
             + "Content-Length: 3\r\n\r\nab");
  ASSERT_EQ(reader.at(), stage::head_read);
  EXPECT_EQ(reader.head().method, "POST");
  EXPECT_EQ(reader.head().path, "/path");
  EXPECT_EQ(reader.head().query, "query");
  EXPECT_EQ(reader.head().authorization, "Bearer k");
  EXPECT_EQ(reader.head().length, 3u);
  EXPECT_TRUE(reader.head().has_body());
  EXPECT_EQ(reader.body_size(), 0u);
  reader.read_body();
  EXPECT_EQ(reader.at(), stage::body);
  reader.add("cGET");
  ASSERT_EQ(reader.at(), stage::complete);
  EXPECT_EQ(reader.take().body, "abc");
  EXPECT_EQ(reader.at(), stage::head);
  EXPECT_EQ(reader.waiting(), 3u);
}

TEST(RequestReader, ReadsWhatWasSentEarlyAfterTheOneBefore) {
  request_reader reader;
  std::string text;
  for (int i = 0; i < 3; ++i)
    text += start_line + "Host: x\r\nContent-Length: 1\r\n\r\n"
            + std::to_string(i);
  reader.add(text);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(reader.at(), stage::head_read) << i;
    reader.read_body();
    ASSERT_EQ(reader.at(), stage::complete) << i;
    EXPECT_EQ(reader.take().body, std::to_string(i));
  }
  EXPECT_EQ(reader.at(), stage::head);
  EXPECT_EQ(reader.waiting(), 0u);
}

TEST(RequestReader, RefusesALengthBeyondTheLimitBeforeAByteOfItHasCome) {
  reader_limits limits;
  limits.body.max_data = 10;
  for (const auto* length : {"10", "11", "999999999999999999"}) {
    request_reader reader{limits};
    reader.add(start_line + "Host: x\r\nContent-Length: " + length
               + "\r\n\r\n");
    ASSERT_EQ(reader.at(), stage::head_read);
    reader.read_body();
    if (std::string{length} == "10") {
      EXPECT_EQ(reader.at(), stage::body);
      continue;
    }
    ASSERT_EQ(reader.at(), stage::refused);
    EXPECT_EQ(reader.why().status, 413u);
  }
}

TEST(RequestReader, RefusesAtOnceWhatStartsLikeNoRequest) {
  for (const std::string text : {"\x16\x03\x01", "\r\n\r\nGET /", "\rG", "\n",
                                 " GET /", "{\"model\"", "\xff"}) {
    request_reader reader;
    reader.add(text);
    EXPECT_EQ(reader.at(), stage::refused) << text;
  }
}

// Clients of old end a body with one that belongs to nothing.
TEST(RequestReader, PassesOverOneEmptyLineBeforeEachRequest) {
  const std::string one = start_line + "Host: x\r\nContent-Length: 1\r\n\r\na";
  for (bool in_bytes : {false, true}) {
    request_reader reader;
    int count = 0;
    auto text = "\r\n" + one + "\r\n" + one + one + "\r\n";
    for (size_t at = 0; at < text.size(); at += in_bytes ? 1 : text.size()) {
      reader.add(in_bytes ? text.substr(at, 1) : text);
      while (reader.at() == stage::head_read || reader.at() == stage::complete)
        if (reader.at() == stage::head_read)
          reader.read_body();
        else
          count += reader.take().body == "a";
    }
    EXPECT_EQ(count, 3);
    EXPECT_EQ(reader.at(), stage::head);
    EXPECT_EQ(reader.waiting(), 0u);
  }
}

TEST(RequestReader, RestsUntilMoreThanAnEmptyLineHasCome) {
  request_reader reader;
  for (const auto* text : {"", "\r", "\n"}) {
    reader.add(text);
    EXPECT_TRUE(reader.rests());
  }
  reader.add("G");
  EXPECT_FALSE(reader.rests());
  reader.add("ET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_FALSE(reader.rests());
  reader.read_body();
  EXPECT_FALSE(reader.rests());
  reader.take();
  EXPECT_TRUE(reader.rests());
  reader.add("\r\n\r\n");
  EXPECT_EQ(reader.at(), stage::refused);
  EXPECT_FALSE(reader.rests());
}

TEST(RequestReader, TakesNoHostThatIsNone) {
  for (std::string host : {"x", "a_b.c:80", "[::1]:8000", "", "a%20b"}) {
    request_reader reader;
    reader.add("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
    EXPECT_EQ(reader.at(), request_reader::stage::head_read) << host;
  }
  for (std::string host :
       {"a b", "a/b", "u@h", "a\tb", "h?", "h#", "a,b\"", "\xc3\xa9.fr"}) {
    request_reader reader;
    reader.add("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
    ASSERT_EQ(reader.at(), request_reader::stage::refused) << host;
    EXPECT_EQ(reader.why().status, 400u);
  }
}

TEST(RequestReader, TakesThePathOfATargetThatNamesAHost) {
  auto path_of = [](const std::string& target) {
    request_reader reader;
    reader.add("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
    return reader.at() == stage::head_read ? reader.head().path : "refused";
  };
  EXPECT_EQ(path_of("http://anything/v1/models"), "/v1/models");
  EXPECT_EQ(path_of("HTTPS://[::1]:8000/v1/models?x=http://y/"), "/v1/models");
  EXPECT_EQ(path_of("http://anything"), "/");
  EXPECT_EQ(path_of("http://anything?x"), "/");
  EXPECT_EQ(path_of("*"), "*");
  EXPECT_EQ(path_of("/v1?x=http://y/"), "/v1");
  EXPECT_EQ(path_of("ftp://anything/v1"), "ftp://anything/v1");
  for (const auto* target : {"http://", "http:///v1", "http://a@b/v1"})
    EXPECT_EQ(path_of(target), "refused") << target;
}

TEST(RequestReader, ReadsLaterMinorVersionsAndRefusesOtherMajorOnes) {
  auto read = [](const std::string& version) {
    auto reader = std::make_unique<request_reader>();
    reader->add("GET / " + version + "\r\nHost: x\r\n\r\n");
    return reader;
  };
  auto later = read("HTTP/1.2");
  ASSERT_EQ(later->at(), stage::head_read);
  EXPECT_TRUE(later->head().http_11);
  for (const auto* version : {"HTTP/2.0", "HTTP/0.9", "HTTP/3.0"})
    EXPECT_EQ(read(version)->why().status, 505u) << version;
  for (const auto* version : {"HTTP/2", "HTTP/1.10", "http/1.1", "HTTP/1."})
    EXPECT_EQ(read(version)->why().status, 400u) << version;
  request_reader preface;
  preface.add("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  EXPECT_EQ(preface.why().status, 505u);
}

TEST(RequestReader, TakesALineOfTheLimitAndRefusesOneByteMore) {
  const auto limit = head_limits{}.max_request_line;
  auto line = [](size_t size) {
    std::string rest = " HTTP/1.1\r\n";
    return "GET /" + std::string(size - rest.size() - 3, 'a') + rest;
  };
  request_reader reader;
  for (auto c : line(limit) + "Host: x\r\n\r\n")
    reader.add({&c, 1});
  EXPECT_EQ(reader.at(), stage::head_read);
  for (auto all : {line(limit + 1), std::string(limit + 1, 'a')}) {
    request_reader strict;
    strict.add(all);
    ASSERT_EQ(strict.at(), stage::refused);
    EXPECT_EQ(strict.why().status, 414u);
  }
}

TEST(RequestReader, HoldsNoMoreThanAHeadWhileItWaitsForItsEnd) {
  request_reader reader;
  size_t most = 0;
  for (size_t i = 0; i < 10'000 && reader.at() == stage::head; ++i) {
    reader.add("GET / HTTP/1.1\r\n");
    most = std::max(most, reader.waiting());
  }
  ASSERT_EQ(reader.at(), stage::refused);
  EXPECT_EQ(reader.why().status, 431u);
  EXPECT_LE(most, reader_limits{}.head.max_bytes + 16);
  reader.add(std::string(1000, 'x'));
  EXPECT_EQ(reader.waiting(), 0u);
}

TEST(RequestReader, SetsNoMoreAsideThanABodyNeeds) {
  request_reader reader;
  reader.add(start_line + "Host: x\r\nContent-Length: 100000\r\n\r\n");
  reader.read_body();
  EXPECT_LT(reader.body_memory(), 100u); // nothing has come
  for (int i = 0; i < 100; ++i) {
    reader.add(std::string(1000, 'x'));
    EXPECT_LE(reader.body_memory(),
              std::max(2 * reader.body_size(), size_t{50}));
    EXPECT_LE(reader.body_memory(), 100'000u);
  }
  EXPECT_EQ(reader.at(), stage::complete);
}

TEST(RequestReader, KnowsWhoMayAskAgainAndWhoWaitsForAWord) {
  auto head_of = [](const std::string& version, const std::string& lines) {
    request_reader reader;
    reader.add("GET / " + version + "\r\nHost: x\r\n" + lines + "\r\n");
    EXPECT_EQ(reader.at(), stage::head_read) << lines;
    return reader.head();
  };
  EXPECT_TRUE(head_of("HTTP/1.1", "").keep_alive);
  EXPECT_TRUE(head_of("HTTP/1.1", "Connection: keep-alive\r\n").keep_alive);
  EXPECT_FALSE(head_of("HTTP/1.1", "Connection: close\r\n").keep_alive);
  EXPECT_FALSE(head_of("HTTP/1.1", "CONNECTION: te,\tClose ,x\r\n").keep_alive);
  EXPECT_FALSE(head_of("HTTP/1.0", "").keep_alive);
  EXPECT_FALSE(head_of("HTTP/1.1", "").expects_continue);
  EXPECT_TRUE(head_of("HTTP/1.1", "Expect: 100-Continue\r\n").expects_continue);
}

TEST(RequestReader, TakesNoSecondAuthorization) {
  request_reader reader;
  reader.add(start_line + "Host: x\r\nAuthorization: Bearer a\r\n"
             + "authorization: Bearer b\r\n\r\n");
  ASSERT_EQ(reader.at(), stage::refused);
  EXPECT_EQ(reader.why().status, 400u);
}

} // namespace

} // namespace troupe::http
