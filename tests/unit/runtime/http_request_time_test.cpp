/// Answers that take longer than one may end with an error, not with a cut.

#include "tests/unit/runtime/openai_fixture.hpp"

namespace troupe::http {

namespace {

class HttpRequestTime : public openai_fixture {
protected:
  void SetUp() override {
    openai_fixture::SetUp();
    limits_.answer = std::chrono::seconds{3};
    limits_.linger = std::chrono::seconds{60};
  }

  /// That it was told as what it is, and is over.
  void expect_counted() {
    service_.wait_for_cancel(1);
    auto text = fetch(get("/metrics")).body;
    for (const auto* line :
         {"troupe_http_requests_total{route=\"/v1/chat/completions\","
          "status=\"504\"} 1",
          "troupe_http_clients_gone_total 0"})
      EXPECT_NE(text.find("\n" + std::string{line} + "\n"), std::string::npos)
        << line << " is not in\n"
        << text;
  }
};

TEST_F(HttpRequestTime, EndsAWholeAnswerWith504) {
  start();
  auto got = fetch(ask());
  EXPECT_EQ(got.status, 504);
  auto error = json::parse(got.body)["error"];
  EXPECT_EQ(error["type"], "timeout_error");
  EXPECT_EQ(error["message"], "The request took longer than one may here "
                              "(--max-request-time).");
  expect_counted();
}

TEST_F(HttpRequestTime, EndsAStreamWithAnErrorThoughTokensCome) {
  start();
  auto client = connect();
  client.send(ask({{"stream", true}}));
  EXPECT_EQ(client.receive_head().status, 200);
  generation_event some;
  some.tokens = ids(" upon a time");
  service_.tell(1, some);
  std::string all;
  while (auto piece = client.receive_chunk())
    all += *piece;
  EXPECT_NE(all.find(" upon a time"), std::string::npos) << all;
  EXPECT_NE(all.find("\"timeout_error\""), std::string::npos) << all;
  expect_counted();
}

} // namespace

} // namespace troupe::http
