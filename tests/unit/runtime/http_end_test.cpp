/// How a server ends: what is under way comes to its end, whoever rests goes.

#include "tests/unit/runtime/openai_fixture.hpp"

#include <future>

namespace troupe::http {

namespace {

constexpr std::chrono::seconds patience{60};

class HttpEnd : public openai_fixture {
protected:
  /// Finishes the server on another thread.
  void begin_to_finish(std::chrono::milliseconds limit = patience) {
    finished_ = std::async(std::launch::async,
                           [this, limit] { return server_->finish(limit); });
  }

  void end_request(request_id id) {
    generation_event last;
    last.finish = finish_reason::failed;
    last.cause = failure{errc::cancelled, "the server is shutting down"};
    service_.tell(id, last);
  }

  static std::string stream_text() {
    json body = {{"model", "nano"}, {"prompt", "once"}, {"stream", true}};
    return post("/v1/completions", body.dump());
  }

  std::future<bool> finished_;
};

TEST_F(HttpEnd, WaitsForStreamsAndWholeAnswers) {
  start();
  auto stream = connect();
  stream.send(stream_text());
  service_.wait_for(1);
  auto whole = connect();
  whole.send(ask());
  service_.wait_for(2);
  auto told = connect();
  told.send(ask({{"stream", true}}));
  service_.wait_for(3);
  generation_event some;
  some.tokens = ids(" upon a time");
  service_.tell(1, some);
  EXPECT_EQ(stream.receive_head().status, 200);
  EXPECT_EQ(told.receive_head().status, 200);
  auto rests = connect();
  rests.send(get("/health"));
  EXPECT_EQ(rests.receive().status, 200);
  begin_to_finish();
  EXPECT_TRUE(rests.at_end()); // all have been told by now
  EXPECT_EQ(finished_.wait_for(std::chrono::milliseconds{0}),
            std::future_status::timeout);
  for (request_id id = 1; id <= 3; ++id)
    end_request(id);
  EXPECT_TRUE(finished_.get());
  for (auto* client : {&stream, &told}) {
    std::string last;
    while (auto piece = client->receive_chunk())
      last = *piece;
    EXPECT_NE(last.find("the server is shutting down"), std::string::npos);
    EXPECT_TRUE(client->at_end());
  }
  auto got = whole.receive();
  EXPECT_EQ(got.status, 503);
  EXPECT_EQ(got.headers["connection"], "close");
  EXPECT_NE(got.body.find("the server is shutting down"), std::string::npos);
  EXPECT_TRUE(whole.at_end());
}

// Who watches the server hears that it ends, until it has.
TEST_F(HttpEnd, SaysHowItIsWhileStreamsGoOnAndTakesNothingElse) {
  start();
  auto kept = connect();
  kept.send(get("/health/ready"));
  EXPECT_EQ(kept.receive().status, 200);
  auto stream = connect();
  stream.send(stream_text());
  service_.wait_for(1);
  EXPECT_EQ(stream.receive_head().status, 200);
  api_->retire();
  auto since = server_->times_answered();
  EXPECT_FALSE(server_->wait_until_answered(since, {}));
  kept.send(get("/health/ready"));
  auto got = kept.receive();
  EXPECT_EQ(got.status, 503);
  EXPECT_NE(got.body.find("the server is shutting down"), std::string::npos);
  EXPECT_EQ(fetch(get("/health/live")).status, 200);
  EXPECT_EQ(fetch(get("/metrics")).status, 200);
  for (const auto& text : {ask(), stream_text(), get("/v1/models"),
                           post("/v1/messages", "{}"), get("/version")}) {
    got = fetch(text);
    EXPECT_EQ(got.status, 503) << text;
    EXPECT_EQ(got.headers["retry-after"], "1") << text;
  }
  EXPECT_EQ(service_.num_requests(), 1u);
  EXPECT_FALSE(server_->wait_until_answered(since, {}));
  end_request(1);
  EXPECT_TRUE(server_->wait_until_answered(since, patience));
  begin_to_finish();
  EXPECT_TRUE(finished_.get());
}

// However short it is: those who ask how it ends come again at once.
TEST_F(HttpEnd, AMomentWithoutARequestCountsAlsoOnceItIsOver) {
  start();
  auto client = connect();
  auto since = server_->times_answered();
  for (request_id id : {1, 2}) {
    client.send(stream_text());
    service_.wait_for(id);
    EXPECT_EQ(server_->wait_until_answered(since, {}), id == 2) << id;
    end_request(id);
    client.receive();
  }
}

TEST_F(HttpEnd, ClosesConnectionsThatRestAtOnce) {
  start();
  auto fresh = connect();
  auto used = connect();
  used.send(get("/health"));
  EXPECT_EQ(used.receive().status, 200);
  begin_to_finish();
  EXPECT_TRUE(finished_.get());
  EXPECT_TRUE(fresh.at_end());
  EXPECT_TRUE(used.at_end());
}

// Some clients send one behind a body, in a packet of its own.
TEST_F(HttpEnd, AnEmptyLineIsNoRequestToWaitFor) {
  limits_.head_deadline = std::chrono::hours{1};
  start();
  auto client = connect();
  client.send(get("/health"));
  EXPECT_EQ(client.receive().status, 200);
  client.send("\r\n");
  // Whoever connects later is accepted and read later.
  EXPECT_EQ(fetch(get("/health")).status, 200);
  begin_to_finish(); // a begun head has longer
  EXPECT_TRUE(finished_.get());
  EXPECT_TRUE(client.at_end());
}

TEST_F(HttpEnd, AnswersARequestThatWasBeingRead) {
  start();
  auto client = connect();
  auto text = get("/health");
  client.send(text.substr(0, 9));
  // Whoever connects later is accepted, read and closed later.
  auto later = connect();
  later.send(text);
  EXPECT_EQ(later.receive().status, 200);
  begin_to_finish();
  EXPECT_TRUE(later.at_end());
  client.send(text.substr(9));
  auto got = client.receive();
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.headers["connection"], "close");
  EXPECT_TRUE(finished_.get());
}

TEST_F(HttpEnd, GivesUpAfterItsLimit) {
  start();
  auto client = connect();
  client.send(ask({{"stream", true}}));
  EXPECT_EQ(client.receive_head().status, 200);
  begin_to_finish(std::chrono::milliseconds{20});
  EXPECT_FALSE(finished_.get());
  server_.reset();
  EXPECT_TRUE(client.at_end());
}

} // namespace

} // namespace troupe::http
