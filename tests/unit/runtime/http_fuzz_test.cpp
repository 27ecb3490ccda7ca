/// Requests that nobody sends on purpose, against the reader alone and against
/// a server. What is asked of them: where the network cuts never matters,
/// memory and time stay within bounds, and nobody ends the process.

#include "runtime/http/request_reader.hpp"
#include "runtime/http/server.hpp"

#include "tests/unit/runtime/fuzz.hpp"
#include "tests/unit/runtime/http_client.hpp"

#include <gtest/gtest.h>

namespace troupe::http {

namespace {

using stage = request_reader::stage;
using texts = std::vector<std::string>;

const std::string post = "POST /echo HTTP/1.1\r\nHost: x\r\n";
const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";

// Whole and broken ones, each of another kind.
const texts samples = {
  "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
  post + "Content-Length: 5\r\n\r\nabcde",
  post + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\nab",
  chunked + "3\r\nabc\r\n0\r\n\r\n",
  chunked + "0\r\n\r\n",
  chunked + "3;a=\"b\"\r\nabc\r\n1\r\nd\r\n0;e\r\nAuthorization: x\r\n\r\n",
  chunked + "0\r\n\r\n" + post + "Content-Length: 1\r\n\r\nx",
  chunked + "3\r\nabcd\r\n0\r\n\r\n",
  chunked + "fffffffffffffffff\r\n",
  chunked + "0\r\nContent-Length: 3\r\n folded\r\n\r\n",
  post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "GET /echo HTTP/1.1\nHost: x\n\n",
  "POST /echo HTTP/1.0\r\n\r\n",
};

const texts words = {
  "\r\n",
  "\r",
  "\n",
  "\r\n\r\n",
  "0\r\n",
  "0\r\n\r\n",
  "1\r\n",
  "ffffffff\r\n",
  ";",
  ";x=\"",
  ":",
  " ",
  "\t",
  std::string(1, '\0'),
  "\xff",
  "Transfer-Encoding: chunked\r\n",
  "Content-Length: 3\r\n",
  "Content-Length: 99999999\r\n",
  "Expect: 100-continue\r\n",
  "Authorization: Bearer x\r\n",
  "Host: y\r\n",
  " HTTP/1.1\r\n",
  "-1",
  std::string(300, '0'),
  std::string(300, 'a'),
};

/// What a reader makes of a text: requests, and how it ends.
struct outcome {
  std::vector<std::string> requests;
  stage end = stage::head;
  unsigned status = 0;

  bool operator==(const outcome&) const = default;
};

reader_limits small_limits() {
  reader_limits limits;
  limits.head.max_bytes = 512;
  limits.body.max_data = 1000;
  limits.body.max_extensions = 200;
  limits.body.max_trailers = 200;
  return limits;
}

/// Feeds `text`, cut where `cuts` say.
outcome read(std::string_view text, const std::vector<size_t>& cuts) {
  auto limits = small_limits();
  request_reader reader{limits};
  outcome x;
  size_t at = 0;
  for (size_t i = 0; i <= cuts.size(); ++i) {
    auto end = i < cuts.size() ? cuts[i] : text.size();
    reader.add(text.substr(at, end - at));
    while (reader.at() == stage::head_read || reader.at() == stage::complete)
      if (reader.at() == stage::head_read) {
        reader.read_body();
      } else {
        auto got = reader.take();
        x.requests.push_back(got.method + " " + got.path + " "
                             + got.authorization + " " + got.body);
      }
    EXPECT_LE(reader.waiting(), limits.head.max_bytes + end - at);
    EXPECT_LE(reader.body_size(), limits.body.max_data);
    at = end;
  }
  x.end = reader.at();
  x.status = x.end == stage::refused ? reader.why().status : 0;
  return x;
}

std::vector<size_t> every_byte(size_t size) {
  std::vector<size_t> cuts;
  for (size_t i = 1; i < size; ++i)
    cuts.push_back(i);
  return cuts;
}

// -- the reader alone ---------------------------------------------------------

TEST(HttpFuzz, TheReaderSeesTheSameWhereverARequestIsCutInThree) {
  for (const auto& text : samples) {
    auto whole = read(text, {});
    EXPECT_EQ(read(text, every_byte(text.size())), whole) << text;
    for (size_t i = 1; i < text.size(); ++i)
      for (size_t j = i; j < text.size(); ++j)
        ASSERT_EQ(read(text, {i, j}), whole)
          << text << " at " << i << ", " << j;
  }
}

TEST(HttpFuzz, TheReaderSeesTheSameHoweverMutatedRequestsAreCut) {
  test::chance dice;
  for (int i = 0; i < 20'000; ++i) {
    auto text = test::mutated(dice, dice.of(samples), words);
    auto whole = read(text, {});
    ASSERT_EQ(read(text, every_byte(text.size())), whole) << text;
    auto cut = dice.below(text.size() + 1);
    ASSERT_EQ(read(text, {cut}), whole) << text << " at " << cut;
  }
}

/// `data` in chunks of any size, with extensions and trailers.
std::string in_chunks(test::chance& dice, std::string_view data) {
  std::string text;
  while (!data.empty()) {
    auto size = std::min(dice.below(20) + 1, data.size());
    char digits[20];
    std::snprintf(digits, sizeof digits, dice.one_in(2) ? "%zx" : "%05zX",
                  size);
    text += digits + std::string{dice.one_in(9) ? ";n=\"v\"" : ""} + "\r\n"
            + std::string{data.substr(0, size)} + "\r\n";
    data.remove_prefix(size);
  }
  text += dice.one_in(2) ? "0\r\n" : "0000;last\r\n";
  for (auto n = dice.below(3); n > 0; --n)
    text += "Authorization: Bearer trailer\r\n";
  return text + "\r\n";
}

TEST(HttpFuzz, WhatWasPutIntoChunksComesOutOfThem) {
  test::chance dice;
  for (int i = 0; i < 5'000; ++i) {
    std::string data;
    for (auto n = dice.below(200); n > 0; --n)
      data += static_cast<char>(dice.below(256));
    auto text = chunked + in_chunks(dice, data);
    auto cut = dice.below(text.size());
    auto x = read(text + text, {cut, text.size()});
    const texts expected(2, "POST /echo  " + data);
    ASSERT_EQ(x.requests, expected) << text;
    ASSERT_EQ(x.end, stage::head);
  }
}

TEST(HttpFuzz, TheReadersTimeGrowsWithWhatItReads) {
  auto one_byte_chunks = [](size_t count) {
    std::string text = chunked;
    for (size_t i = 0; i < count; ++i)
      text += "1\r\nx\r\n";
    return text + "0\r\n\r\n";
  };
  auto many_requests = [](size_t count) {
    std::string text;
    for (size_t i = 0; i < count / 8; ++i)
      text += samples[0];
    return text;
  };
  auto time = [](const std::string& text) {
    return test::seconds_of([&] {
      request_reader reader;
      for (size_t at = 0; at < text.size(); at += 8192) {
        reader.add(std::string_view{text}.substr(at, 8192));
        while (reader.at() == stage::head_read
               || reader.at() == stage::complete)
          reader.at() == stage::head_read ? reader.read_body()
                                          : void(reader.take());
      }
      EXPECT_EQ(reader.at(), stage::head);
    });
  };
  for (auto n : {size_t{100'000}, size_t{200'000}}) {
    EXPECT_LT(time(one_byte_chunks(4 * n)), 12 * time(one_byte_chunks(n)));
    EXPECT_LT(time(many_requests(4 * n)), 12 * time(many_requests(n)));
  }
}

// -- a server -----------------------------------------------------------------

class echo : public handler {
public:
  std::optional<reply> refuse_head(const request_head&) override {
    return std::nullopt;
  }

  void handle(request what, std::shared_ptr<responder> to) override {
    to->answer({200, "text/plain", what.authorization + what.body, {}});
  }

  header_list headers_for(const request_head&) override {
    return {};
  }

  reply refusal(unsigned status, std::string_view why) override {
    return {status, "text/plain", std::string{why}, {}};
  }
};

class HttpServerFuzz : public testing::Test {
protected:
  void SetUp() override {
    server_options options;
    options.num_threads = 1; // see `turn`
    auto x = server::start(options, echo_, logger{"test", log_level::error});
    ASSERT_TRUE(x) << x.why().message;
    server_ = std::move(*x);
    other_ = std::make_unique<test::http_client>(server_->port());
    turn();
  }

  /// Waits until the server's only thread has read what was sent before: it
  /// serves connections in the order in which bytes came.
  void turn() {
    other_->send(samples[0]);
    ASSERT_EQ(other_->receive().status, 200);
  }

  test::http_client connect() {
    test::http_client client{server_->port()};
    turn(); // accepted
    turn(); // and reading
    return client;
  }

  void send_alone(test::http_client& client, const std::string& part) {
    client.send(part);
    turn();
  }

  /// What the first answer to `text` is, if its parts come one by one.
  std::pair<int, std::string> answer_to(const texts& parts) {
    auto client = connect();
    for (const auto& part : parts)
      send_alone(client, part);
    auto got = client.receive();
    if (got.status == 100)
      got = client.receive();
    return {got.status, got.body};
  }

  echo echo_;
  std::unique_ptr<server> server_;
  std::unique_ptr<test::http_client> other_;
};

TEST_F(HttpServerFuzz, AnswersTheSameWhicheverByteComesAlone) {
  for (const auto& text : samples) {
    auto x = read(text, {});
    if (x.requests.empty() && x.status == 0)
      continue; // it never ends
    auto whole = answer_to({text});
    for (size_t i = 0; i < text.size(); ++i)
      ASSERT_EQ(
        answer_to({text.substr(0, i), text.substr(i, 1), text.substr(i + 1)}),
        whole)
        << text << " at " << i;
  }
}

TEST_F(HttpServerFuzz, OutlivesALastChunkThatComesByteByByte) {
  for (const std::string last : {"0\r\n\r\n", "0\r\na: b\r\n\r\n",
                                 "0;x\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n"}) {
    texts parts = {chunked};
    for (char c : last)
      parts.emplace_back(1, c);
    EXPECT_EQ(answer_to(parts).first, 200) << last;
  }
  {
    auto client = connect();
    send_alone(client, chunked);
    send_alone(client, "0\r\n");
    send_alone(client, "\r"); // and no more
  }
  EXPECT_EQ(answer_to({samples[1]}).second, "abcde");
}

TEST_F(HttpServerFuzz, OutlivesMutatedRequestsInPieces) {
  test::chance dice;
  for (int i = 0; i < 1500; ++i) {
    auto text = test::mutated(dice, dice.of(samples), words);
    auto client = connect();
    while (!text.empty()) { // most of the pieces are small, some are not
      auto size = dice.below(dice.one_in(2) ? 200 : 3) + 1;
      send_alone(client, text.substr(0, size));
      text.erase(0, size);
    }
  }
  EXPECT_EQ(answer_to({samples[1]}).second, "abcde");
}

} // namespace

} // namespace troupe::http
