#include "runtime/clock.hpp"

#include "tests/unit/runtime/http_server_fixture.hpp"

namespace troupe::http {

namespace {

using HttpServer = http_server_fixture;

// -- answers ------------------------------------------------------------------

TEST_F(HttpServer, ServesAThousandRequestsOnOneConnection) {
  start();
  test::http_client client{server_->port()};
  for (int i = 0; i < 1000; ++i) {
    client.send(post("/echo", "number " + std::to_string(i)));
    auto got = client.receive();
    ASSERT_EQ(got.status, 200);
    ASSERT_EQ(got.body, "number " + std::to_string(i));
    ASSERT_EQ(got.headers.at("x-was"), "echo");
  }
  EXPECT_EQ(counts_->accepted, 1u);
}

TEST_F(HttpServer, StreamsPiecesInOrderAndGoesOnWithTheConnection) {
  start();
  test::http_client client{server_->port()};
  std::string expected;
  for (int i = 0; i < 100; ++i)
    expected += std::to_string(i) + ",";
  for (int round = 0; round < 3; ++round) {
    client.send(post("/stream", ""));
    auto got = client.receive();
    EXPECT_EQ(got.headers.at("transfer-encoding"), "chunked");
    EXPECT_EQ(got.body, expected);
  }
}

TEST_F(HttpServer, AnswersARequestThatWasSentEarlyAfterTheOneBefore) {
  start();
  test::http_client client{server_->port()};
  client.send(post("/echo", "one") + post("/echo", "two"));
  EXPECT_EQ(client.receive().body, "one");
  EXPECT_EQ(client.receive().body, "two");
}

TEST_F(HttpServer, TakesChunkedBodiesAndExpectContinue) {
  start();
  test::http_client client{server_->port()};
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
              "\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_EQ(client.receive().body, "abcde");
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
              "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.receive().status, 100);
  client.send("ok");
  EXPECT_EQ(client.receive().body, "ok");
}

TEST_F(HttpServer, ClosesAfterTheAnswerIfTheClientAsksForIt) {
  start();
  test::http_client client{server_->port()};
  client.send(get_echo + "Connection: close\r\n\r\n");
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_TRUE(client.at_end());
  client = test::http_client{server_->port()};
  client.send("GET /stream HTTP/1.0\r\n\r\n");
  auto got = client.receive();
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.headers.count("transfer-encoding"), 0u);
  EXPECT_TRUE(got.body.starts_with("0,1,2,"));
}

TEST_F(HttpServer, Says500IfTheHandlerLetsARequestFall) {
  start();
  EXPECT_EQ(status_of(post("/drop", "")), 500);
}

// -- clients that go away -----------------------------------------------------

TEST_F(HttpServer, TellsTheHandlerWhenAClientLeavesWhileItWaits) {
  start();
  {
    test::http_client client{server_->port()};
    client.send(post("/wait", ""));
    while (handler_.handled == 0)
      std::this_thread::yield();
  }
  handler_.closed.get_future().wait();
}

/// What is not read any more does not hide that it is the last.
TEST_F(HttpServer, TellsTheHandlerWhenAClientLeavesThatHasSentMuchEarly) {
  server_limits limits;
  limits.look = std::chrono::milliseconds{10};
  start(limits);
  {
    test::http_client client{server_->port()};
    client.send(post("/wait", "x") + post("/echo", std::string(100'000, 'x')));
    while (handler_.handled == 0)
      std::this_thread::yield();
  }
  handler_.closed.get_future().wait();
}

TEST_F(HttpServer, AnswersAfterwardsWhoHasSentMuchEarlyAndStays) {
  server_limits limits;
  limits.look = std::chrono::milliseconds{1};
  start(limits);
  test::http_client client{server_->port()};
  std::string much(1'000'000, 'x');
  client.send(post("/stream", "") + post("/echo", much));
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(client.receive().body, much);
}

TEST_F(HttpServer, TellsTheHandlerWhenItIsStopped) {
  start();
  test::http_client client{server_->port()};
  client.send(post("/wait", ""));
  while (handler_.handled == 0)
    std::this_thread::yield();
  server_.reset();
  handler_.closed.get_future().wait();
}

TEST_F(HttpServer, StopsAWriterWhoseClientDoesNotRead) {
  server_limits limits;
  limits.max_buffered = 64 << 10;
  limits.stall = std::chrono::milliseconds{50};
  start(limits);
  test::http_client client{server_->port()};
  client.send(post("/flood", ""));
  handler_.flooded.get_future().wait();
}

// -- limits -------------------------------------------------------------------

TEST_F(HttpServer, TakesABodyOfTheLimitAndRefusesOneByteMore) {
  server_limits limits;
  limits.reading.body.max_data = 100'000;
  start(limits);
  EXPECT_EQ(status_of(post("/echo", std::string(100'000, 'x'))), 200);
  EXPECT_EQ(status_of(post("/echo", std::string(100'001, 'x'))), 413);
  auto chunked = [](size_t size) {
    char digits[20];
    std::snprintf(digits, sizeof digits, "%zx", size);
    return "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
           "chunked\r\n\r\n"
           + std::string{digits} + "\r\n" + std::string(size, 'x')
           + "\r\n0\r\n\r\n";
  };
  EXPECT_EQ(status_of(chunked(100'000)), 200);
  EXPECT_EQ(status_of(chunked(100'001)), 413);
  EXPECT_EQ(status_of("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: "
                      "999999999999999999\r\n\r\n"),
            413);
  EXPECT_EQ(handler_.handled, 2);
}

TEST_F(HttpServer, TakesAsManyHeaderLinesAsTheLimitAndNoMore) {
  start();
  std::string lines;
  for (int i = 0; i < 63; ++i)
    lines += "A: b\r\n";
  EXPECT_EQ(status_of(get_echo + lines + "\r\n"), 200);
  EXPECT_EQ(status_of(get_echo + lines + "A: b\r\n\r\n"), 431);
}

TEST_F(HttpServer, TakesAHeadOfTheLimitAndRefusesOneByteMore) {
  start();
  auto head = [](size_t size) {
    auto text = get_echo + "A: ";
    return text + std::string(size - text.size() - 4, 'x') + "\r\n\r\n";
  };
  EXPECT_EQ(status_of(head(16 << 10)), 200);
  EXPECT_EQ(status_of(head((16 << 10) + 1)), 431);
  EXPECT_EQ(status_of(get_echo + "A: " + std::string(1 << 20, 'x')), 431);
}

const std::string post_chunks = "POST /echo HTTP/1.1\r\nHost: x\r\n"
                                "Transfer-Encoding: chunked\r\n\r\n";

TEST_F(HttpServer, ClosesConnectionsWhoseExtensionsOrTrailersDoNotEnd) {
  start();
  for (const auto* begin : {"1;x=", "0\r\nx: "}) {
    test::http_client client{server_->port()};
    client.send(post_chunks + begin + std::string(1 << 20, 'a'));
    EXPECT_EQ(client.receive().status, 400) << begin;
    EXPECT_TRUE(client.at_end()) << begin;
  }
  std::string trailers;
  for (int i = 0; i < 100'000; ++i)
    trailers += "a: b\r\n";
  EXPECT_EQ(status_of(post_chunks + "0\r\n" + trailers), 400);
  EXPECT_EQ(handler_.handled, 0);
}

TEST_F(HttpServer, RefusesBodiesBeyondWhatAllTogetherMayHold) {
  server_limits limits;
  limits.max_bodies = 5000;
  start(limits);
  auto half = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n"
              + std::string(3000, 'x');
  test::http_client a{server_->port()};
  a.send(half);
  EXPECT_EQ(status_of(get_echo + "\r\n"), 200); // what came before is read
  EXPECT_EQ(status_of(half), 503);
  a.send(std::string(1000, 'x'));
  EXPECT_EQ(a.receive().status, 200);
  EXPECT_EQ(status_of(half + std::string(1000, 'x')), 200);
}

TEST_F(HttpServer, ClosesConnectionsThatAreTooSlowWithTheirHead) {
  server_limits limits;
  limits.head_deadline = std::chrono::milliseconds{20};
  start(limits);
  test::http_answer got;
  while (got.status == 0) { // who was too slow to begin hears nothing
    test::http_client client{server_->port()};
    client.send("GET /echo HT");
    got = client.receive();
    EXPECT_TRUE(client.at_end());
  }
  EXPECT_EQ(got.status, 408);
  EXPECT_EQ(handler_.handled, 0);
  EXPECT_EQ(counts_->late, 1u);
}

TEST_F(HttpServer, ClosesWithoutAWordConnectionsThatAskNothing) {
  server_limits limits;
  limits.head_deadline = std::chrono::milliseconds{20};
  start(limits);
  test::http_client client{server_->port()};
  EXPECT_TRUE(client.at_end());
  EXPECT_EQ(counts_->late, 0u);
}

TEST_F(HttpServer, ClosesConnectionsThatAskNoMore) {
  server_limits limits;
  limits.idle = std::chrono::milliseconds{20};
  start(limits);
  test::http_client client{server_->port()};
  client.send(post("/echo", "x"));
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_TRUE(client.at_end());
}

TEST_F(HttpServer, ClosesConnectionsThatAreTooSlowWithTheirBody) {
  server_limits limits;
  limits.body_deadline = std::chrono::milliseconds{20};
  start(limits);
  test::http_client client{server_->port()};
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc");
  auto got = client.receive();
  EXPECT_EQ(got.status, 408);
  EXPECT_EQ(got.headers["connection"], "close");
  EXPECT_TRUE(client.at_end());
  EXPECT_EQ(handler_.handled, 0);
  EXPECT_EQ(counts_->late, 1u);
}

TEST_F(HttpServer, ClosesConnectionsWhoseBodyDropsInByteByByte) {
  server_limits limits;
  limits.body_grace = std::chrono::milliseconds{50};
  start(limits);
  test::http_client client{server_->port()};
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n");
  client.send("x");
  auto got = client.receive();
  EXPECT_EQ(got.status, 408);
  EXPECT_EQ(got.headers["connection"], "close");
  EXPECT_TRUE(client.at_end());
  EXPECT_EQ(handler_.handled, 0);
  EXPECT_EQ(counts_->late, 1u);
}

// -- heads that are refused ---------------------------------------------------

TEST_F(HttpServer, NoticesAClientThatLeavesAsItsAnswerComes) {
  server_limits limits;
  limits.idle = limits.head_deadline = std::chrono::hours{1};
  start(limits);
  for (int i = 0; i < 300; ++i) {
    test::http_client client{server_->port()};
    client.send(post("/echo", "in"));
    if (i % 2 == 0) {
      EXPECT_EQ(client.receive().status, 200);
    }
  }
  system_clock time;
  auto end = time.now() + std::chrono::seconds{30};
  // The last one may not have been let in when all others have gone.
  auto is_over = [&] { return counts_->accepted == 300 && counts_->open == 0; };
  while (!is_over() && time.now() < end)
    std::this_thread::yield();
  EXPECT_TRUE(is_over());
}

TEST_F(HttpServer, ShowsOutThoseWhoAreJustComingIn) {
  for (int round = 0; round < 30; ++round) {
    server_options options;
    options.num_threads = 4;
    start(std::move(options));
    std::vector<test::http_client> clients;
    for (int i = 0; i < 20; ++i)
      clients.emplace_back(server_->port());
    server_.reset(); // some have been accepted, some have not
  }
  EXPECT_EQ(counts_->open, 0u);
}

TEST_F(HttpServer, RefusesAHeadBeforeItsBodyIsSent) {
  start();
  const std::string head = "POST /closed HTTP/1.1\r\nHost: x\r\n";
  for (const auto* lines :
       {"Content-Length: 8000000\r\n", "Transfer-Encoding: chunked\r\n",
        "Content-Length: 8000000\r\nExpect: 100-continue\r\n"}) {
    test::http_client client{server_->port()};
    client.send(head + lines + "\r\n");
    auto got = client.receive();
    EXPECT_EQ(got.status, 401) << lines;
    EXPECT_EQ(got.headers["connection"], "close");
    client.send(std::string(1 << 20, 'x')); // is not taken for a request
    EXPECT_TRUE(client.at_end());
  }
  EXPECT_EQ(handler_.handled, 0);
}

TEST_F(HttpServer, GoesOnAfterARefusedHeadWithoutABody) {
  start();
  test::http_client client{server_->port()};
  client.send("GET /closed HTTP/1.1\r\nHost: x\r\n\r\n" + get_echo + "\r\n");
  EXPECT_EQ(client.receive().body, "not for you");
  EXPECT_EQ(client.receive().status, 200);
}

TEST_F(HttpServer, AnswersHeadRequestsWithoutABody) {
  start();
  test::http_client client{server_->port()};
  auto head = [](const std::string& path) {
    return "HEAD " + path + " HTTP/1.1\r\nHost: x\r\n\r\n";
  };
  client.send(head("/closed") + head("/stream") + "no request\r\n\r\n");
  EXPECT_EQ(client.receive_head().status, 401);
  EXPECT_EQ(client.receive_head().status, 200);
  auto got = client.receive();
  EXPECT_EQ(got.status, 400);
  EXPECT_FALSE(got.body.empty());
}

TEST_F(HttpServer, NeverTakesATrailerForAHeader) {
  start();
  test::http_client client{server_->port()};
  client.send("POST /key HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
              "\r\n\r\n0\r\nAuthorization: Bearer k\r\n\r\n");
  EXPECT_EQ(client.receive().body, "");
  client.send("POST /key HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"
              "Content-Length: 0\r\n\r\n");
  EXPECT_EQ(client.receive().body, "Bearer k");
}

// -- smuggling ----------------------------------------------------------------

TEST_F(HttpServer, RefusesEveryHeadThatCanBeReadInTwoWays) {
  start();
  const std::string start_line = "POST /echo HTTP/1.1\r\n";
  const std::string host = "Host: x\r\n";
  const std::vector<std::string> heads = {
    start_line + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
    start_line + host + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
    start_line + host + "Content-Length: 3\r\nContent-Length: 3\r\n",
    start_line + host + "Content-Length: 3\r\nContent-Length: 4\r\n",
    start_line + host + "Content-Length: -3\r\n",
    start_line + host + "Content-Length: +3\r\n",
    start_line + host + "Content-Length: 0x3\r\n",
    start_line + host + "Content-Length: 3, 3\r\n",
    start_line + host + "Content-Length: 18446744073709551619\r\n",
    start_line + host + "Content-Length:\r\n",
    start_line + host + "Content-Length : 3\r\n",
    start_line + host + "Transfer-Encoding: gzip, chunked\r\n",
    start_line + host + "Transfer-Encoding: xchunked\r\n",
    start_line + host + "Transfer-Encoding: chunked\r\n"
      + "Transfer-Encoding: chunked\r\n",
    start_line + host + "A: b\r\n c\r\n",
    start_line + host + "A: b\nContent-Length: 3\r\n",
    start_line + host + "A: b\rContent-Length: 3\r\n",
    start_line + host + std::string{"A: b\0c\r\n", 8},
    start_line + host + "no colon\r\n",
    start_line + host + ": no name\r\n",
    start_line + host + host,
    start_line + "A: b\r\n",
    "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n",
    "POST /echo HTTP/1.10\r\n" + host,
    "POST  /echo HTTP/1.1\r\n" + host,
    "no request at all\r\n" + host,
    "\x16\x03\x01\r\n" + host,
  };
  for (const auto& head : heads)
    EXPECT_EQ(status_of(head + "\r\nabc"), 400) << head;
  EXPECT_EQ(handler_.handled, 0);
  EXPECT_EQ(counts_->refused, heads.size());
}

TEST_F(HttpServer, RefusesChunksThatMakeNoSense) {
  start();
  const std::string head = "POST /echo HTTP/1.1\r\nHost: x\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n";
  for (const auto* body : {"-1\r\nabc\r\n0\r\n\r\n", "xyz\r\nabc\r\n0\r\n\r\n",
                           "ffffffffffffffffff\r\nabc", "3\nabc\r\n0\r\n\r\n",
                           "3\r\nabcdef\r\n0\r\n\r\n"})
    EXPECT_EQ(status_of(head + body), 400) << body;
  EXPECT_EQ(handler_.handled, 0);
}

TEST_F(HttpServer, SaysWhyItCannotListen) {
  start();
  server_options options;
  options.port = server_->port();
  logger log{"test", log_level::error};
  auto x = server::start(options, handler_, log);
  ASSERT_FALSE(x);
  EXPECT_EQ(x.why().code, errc::io);
  options.address = "not an address";
  EXPECT_EQ(server::start(options, handler_, log).why().code,
            errc::invalid_input);
}

} // namespace

} // namespace troupe::http
