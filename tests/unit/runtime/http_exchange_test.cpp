/// What every exchange has beside its meaning: a date, a name, a line in the
/// log, and signs of life.

#include "runtime/http/access_record.hpp"
#include "runtime/http/reply_text.hpp"

#include "tests/unit/runtime/http_server_fixture.hpp"

namespace troupe::http {

namespace {

class HttpExchange : public http_server_fixture {
protected:
  void start_named(server_limits limits = {}) {
    server_options options;
    options.limits = limits;
    options.unix_time = [] { return int64_t{784'111'777}; };
    options.new_name = [this] { return "name" + std::to_string(++names_); };
    start(std::move(options));
  }

  /// The answer to `text` on a connection of its own.
  test::http_answer fetch(const std::string& text) {
    test::http_client client{server_->port()};
    client.send(text);
    return client.receive();
  }

  std::atomic<int> names_ = 0;
};

TEST_F(HttpExchange, HasADateAndANameWhateverTheAnswer) {
  start_named();
  for (const std::string& text :
       {post("/echo", "x"), post("/stream", ""), post("/drop", ""),
        post("/closed", ""), std::string{"no request\r\n\r\n"}}) {
    auto got = fetch(text);
    EXPECT_EQ(got.headers["date"], "Sun, 06 Nov 1994 08:49:37 GMT") << text;
    EXPECT_EQ(got.headers["x-request-id"], "name" + std::to_string(names_))
      << text;
  }
}

TEST_F(HttpExchange, HasTheHandlersHeadersWhereItsHeadWasRead) {
  start_named();
  for (const auto* path : {"/echo", "/stream", "/drop", "/closed"})
    EXPECT_EQ(fetch(post(path, "")).headers["x-path"], path);
  EXPECT_FALSE(fetch("no request\r\n\r\n").headers.contains("x-path"));
  test::http_client client{server_->port()};
  client.send(post("/echo", "x") + "no request\r\n\r\n");
  EXPECT_EQ(client.receive().headers["x-path"], "/echo");
  EXPECT_FALSE(client.receive().headers.contains("x-path"));
}

TEST_F(HttpExchange, HasNeitherWhereNobodyGivesThem) {
  start();
  auto got = fetch(post("/echo", "x"));
  EXPECT_FALSE(got.headers.contains("date"));
  EXPECT_FALSE(got.headers.contains("x-request-id"));
}

TEST_F(HttpExchange, TakesANameFromTheClientIfItCanBeTold) {
  start_named();
  auto named = [](const std::string& name) {
    return get_echo + "X-Request-ID: " + name + "\r\n\r\n";
  };
  for (const auto& name : {std::string{"a"}, std::string{"2f1d-4:trace/9.b"},
                           std::string(128, 'x')})
    EXPECT_EQ(fetch(named(name)).headers["x-request-id"], name);
  for (const auto& name :
       {std::string{""}, std::string{"two words"}, std::string{"caf\xc3\xa9"},
        std::string{"a\"b"}, std::string(129, 'x')})
    EXPECT_TRUE(fetch(named(name)).headers["x-request-id"].starts_with("name"))
      << name;
}

TEST_F(HttpExchange, IsALineInTheLog) {
  start_named();
  // One after the other: a line comes after its answer.
  fetch(get_echo + "X-Request-ID: mine\r\n\r\n");
  logged(1);
  fetch("GET /closed?key=hush HTTP/1.1\r\nHost: x\r\n"
        "Authorization: Bearer hush\r\n\r\n");
  logged(2);
  fetch("no request\r\n\r\n");
  auto lines = logged(3);
  EXPECT_TRUE(lines[0].starts_with("127.0.0.1 \"GET /echo\" 200, "))
    << lines[0];
  EXPECT_TRUE(lines[0].ends_with(" s, request mine")) << lines[0];
  EXPECT_TRUE(lines[1].starts_with("127.0.0.1 \"GET /closed\" 401, "));
  EXPECT_TRUE(lines[2].starts_with("127.0.0.1 \"\" 400, "));
  for (const auto& line : lines)
    EXPECT_EQ(line.find("hush"), std::string::npos) << line;
}

TEST_F(HttpExchange, IsLoggedAsUnansweredIfTheClientLeaves) {
  start_named();
  {
    test::http_client client{server_->port()};
    client.send(post("/wait", ""));
    while (handler_.handled == 0)
      std::this_thread::yield();
  }
  EXPECT_TRUE(
    logged(1)[0].starts_with("127.0.0.1 \"POST /wait\" no answer, 0 bytes"));
}

TEST_F(HttpExchange, IsLoggedAsCutShortIfTheClientLeavesWithinTheAnswer) {
  start_named();
  {
    test::http_client client{server_->port()};
    client.send(post("/still", ""));
    client.receive_head();
  }
  auto line = logged(1)[0];
  EXPECT_TRUE(line.starts_with("127.0.0.1 \"POST /still\" 200 cut short, "))
    << line;
}

TEST_F(HttpExchange, ShowsThatAStreamLivesWhileItSaysNothing) {
  server_limits limits;
  limits.silence = std::chrono::milliseconds{5};
  start_named(limits);
  test::http_client client{server_->port()};
  client.send(post("/still", ""));
  EXPECT_EQ(client.receive_head().status, 200);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(client.receive_chunk(), ": still\n\n");
}

TEST_F(HttpExchange, IsNotFilledWhereTheAnswerIsNoStream) {
  server_limits limits;
  limits.silence = std::chrono::milliseconds{1};
  limits.answer = std::chrono::milliseconds{50};
  start_named(limits);
  test::http_client client{server_->port()};
  client.send(post("/wait", ""));
  EXPECT_EQ(client.receive().status, 504);
}

TEST_F(HttpExchange, IsCutWhereAStreamTakesTooLongAndDoesNotEndItself) {
  server_limits limits;
  limits.answer = limits.linger = std::chrono::milliseconds{10};
  start_named(limits);
  test::http_client client{server_->port()};
  client.send(post("/still", ""));
  EXPECT_EQ(client.receive_head().status, 200);
  EXPECT_TRUE(client.at_end());
}

TEST(Exchange, TellsWhoComesLateThatItIsLate) {
  exchange way{1, [] {}};
  way.expire({504, "text/plain", "late", {}});
  EXPECT_EQ(way.take().head->status, 504u);
  way.finish();
  bool told = false;
  way.on_late([&] { told = true; });
  EXPECT_TRUE(told);
}

TEST_F(HttpExchange, HasNoBodyAndNoLengthWithoutContent) {
  reply nothing;
  nothing.status = 204;
  EXPECT_EQ(content_length(nothing), "");
  EXPECT_EQ(render_head(nothing, "", true),
            "HTTP/1.1 204 No Content\r\nServer: troupe\r\n\r\n");
}

TEST_F(HttpExchange, ListensAtEveryAddressOfAName) {
  server_options options;
  options.address = "localhost";
  start(std::move(options));
  EXPECT_EQ(fetch(post("/echo", "x")).body, "x");
}

TEST(HttpDate, IsWrittenAsRfc9110Says) {
  EXPECT_EQ(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(http_date(784'111'777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(http_date(1'709'210'096), "Thu, 29 Feb 2024 12:34:56 GMT");
}

} // namespace

} // namespace troupe::http
