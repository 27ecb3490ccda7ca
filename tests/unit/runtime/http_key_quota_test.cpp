#include "runtime/http/key_quota.hpp"

#include "tests/unit/runtime/openai_fixture.hpp"

namespace troupe::http {

namespace {

using namespace std::chrono_literals;

constexpr key_quota::instant start{};

std::string value_of(const header_list& all, const std::string& name) {
  for (const auto& [key, value] : all)
    if (key == name)
      return value;
  return "none";
}

TEST(KeyQuota, LimitsNothingIfItHasNoLimit) {
  key_quota free{{}};
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(free.admit(start));
    free.take_tokens(1 << 20, start);
  }
  EXPECT_TRUE(free.headers(start).empty());
}

TEST(KeyQuota, GivesRequestsBackEvenly) {
  key_quota quota{{60, 0}};
  for (int i = 0; i < 60; ++i)
    EXPECT_FALSE(quota.admit(start)) << i;
  auto no = quota.admit(start);
  ASSERT_TRUE(no);
  EXPECT_STREQ(no->of, "requests");
  EXPECT_EQ(no->limit, 60u);
  EXPECT_EQ(no->retry_after, 1u);
  EXPECT_TRUE(quota.admit(start + 999ms));
  EXPECT_FALSE(quota.admit(start + 1s));
  EXPECT_TRUE(quota.admit(start + 1s));
  for (int i = 0; i < 60; ++i) // no more than a minute's worth
    EXPECT_FALSE(quota.admit(start + 10min)) << i;
  EXPECT_TRUE(quota.admit(start + 10min));
}

TEST(KeyQuota, WaitsUntilTooManyTokensAreMadeGood) {
  key_quota quota{{0, 600}}; // ten a second
  EXPECT_FALSE(quota.admit(start));
  quota.take_tokens(900, start);
  auto no = quota.admit(start);
  ASSERT_TRUE(no);
  EXPECT_STREQ(no->of, "tokens");
  EXPECT_EQ(no->retry_after, 31u); // 301 tokens
  EXPECT_TRUE(quota.admit(start + 30s));
  EXPECT_FALSE(quota.admit(start + 31s));
}

TEST(KeyQuota, TellsWhatIsLeft) {
  key_quota quota{{10, 600}};
  EXPECT_FALSE(quota.admit(start));
  quota.take_tokens(1200, start);
  auto all = quota.headers(start);
  EXPECT_EQ(value_of(all, "x-ratelimit-limit-requests"), "10");
  EXPECT_EQ(value_of(all, "x-ratelimit-remaining-requests"), "9");
  EXPECT_EQ(value_of(all, "x-ratelimit-reset-requests"), "6s");
  EXPECT_EQ(value_of(all, "x-ratelimit-limit-tokens"), "600");
  EXPECT_EQ(value_of(all, "x-ratelimit-remaining-tokens"), "0");
  EXPECT_EQ(value_of(all, "x-ratelimit-reset-tokens"), "2m0s");
  all = quota.headers(start + 5990ms);
  EXPECT_EQ(value_of(all, "x-ratelimit-reset-requests"), "10ms");
}

TEST(KeyQuota, OfOtherLimitsGivesNothingBack) {
  key_quota quota{{10, 600}};
  EXPECT_FALSE(quota.admit(start));
  quota.take_tokens(900, start);
  key_quota higher{{20, 1200}, quota};
  EXPECT_EQ(value_of(higher.headers(start), "x-ratelimit-remaining-requests"),
            "9");
  EXPECT_TRUE(higher.admit(start));
  EXPECT_FALSE(higher.admit(start + 16s)); // 301 tokens at 20 a second
  key_quota lower{{2, 0}, higher};
  EXPECT_EQ(
    value_of(lower.headers(start + 16s), "x-ratelimit-remaining-requests"),
    "2");
  key_quota anew{{2, 60}, lower}; // which had no limit on tokens
  EXPECT_EQ(value_of(anew.headers(start + 16s), "x-ratelimit-remaining-tokens"),
            "60");
}

TEST(KeyQuota, IsNotGivenBackByAClockThatStandsStill) {
  key_quota quota{{1, 0}};
  EXPECT_FALSE(quota.admit(start + 1h));
  EXPECT_TRUE(quota.admit(start));
  EXPECT_TRUE(quota.admit(start + 1h));
}

class QuotaOfKeys : public openai_fixture {
protected:
  static std::string by(const std::string& key) {
    json body = {{"model", "nano"}, {"prompt", "hi"}};
    return post("/v1/completions", body.dump(),
                "Authorization: Bearer " + key + "\r\n");
  }
};

TEST_F(QuotaOfKeys, OneKeyWaitsAndAnotherDoesNot) {
  openai_options options;
  options.keys = {{"one", "", {2, 0}}, {"two"}};
  start(options);
  std::vector<test::http_client> open;
  for (request_id id : {1, 2}) {
    open.push_back(connect());
    open.back().send(by("one"));
    service_.wait_for(id);
  }
  auto got = fetch(by("one"));
  EXPECT_EQ(got.status, 429);
  EXPECT_EQ(got.headers["retry-after"], "30");
  EXPECT_EQ(got.headers["x-ratelimit-limit-requests"], "2");
  EXPECT_EQ(got.headers["x-ratelimit-remaining-requests"], "0");
  auto error = json::parse(got.body)["error"];
  EXPECT_EQ(error["code"], "rate_limit_exceeded");
  EXPECT_EQ(error["type"], "requests");
  EXPECT_EQ(fetch(get("/v1/models", "Authorization: Bearer one\r\n")).status,
            200);
  open.push_back(connect());
  open.back().send(by("two"));
  service_.wait_for(3);
  now_ = 30s;
  open.push_back(connect());
  open.back().send(by("one"));
  service_.wait_for(4);
}

TEST_F(QuotaOfKeys, WhoIsNotLetInIsNotCounted) {
  openai_options options;
  options.everybody = {2, 60};
  start(options);
  service_.refuse(failure{errc::overloaded, "too many"});
  for (int i = 0; i < 5; ++i) {
    auto got = fetch(by("none"));
    EXPECT_EQ(got.status, 429);
    EXPECT_NE(got.body.find("too many"), std::string::npos) << got.body;
  }
  service_.refuse(std::nullopt);
  auto client = connect();
  client.send(by("none"));
  service_.wait_for(1);
  service_.play(1, ids("a"), finish_reason::length);
  auto got = client.receive();
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.headers["x-ratelimit-remaining-requests"], "1");
  EXPECT_EQ(got.headers["x-ratelimit-remaining-tokens"], "60");
}

TEST_F(QuotaOfKeys, WhoeverTokenizesIsCounted) {
  openai_options options;
  options.everybody = {2, 0};
  start(options);
  auto body = json{{"model", "nano"}, {"prompt", "hi"}}.dump();
  EXPECT_EQ(fetch(post("/tokenize", body)).status, 200);
  EXPECT_EQ(fetch(post("/detokenize", R"({"tokens": [1]})")).status, 200);
  EXPECT_EQ(fetch(post("/tokenize", body)).status, 429);
  EXPECT_EQ(fetch(post("/v1/messages/count_tokens", body)).status, 429);
  EXPECT_EQ(fetch(get("/v1/models")).status, 200);
}

TEST_F(QuotaOfKeys, PromptsAndAnswersAreCounted) {
  openai_options options;
  options.everybody = {0, 60};
  start(options);
  auto client = connect();
  client.send(by("none"));
  auto prompt = service_.wait_for(1).prompt.size();
  service_.play(1, ids("a b c d"), finish_reason::length);
  EXPECT_EQ(client.receive().status, 200);
  auto used = prompt + ids("a b c d").size();
  client.send(by("none"));
  service_.wait_for(2);
  service_.play(2, std::vector<int32_t>(60, 300), finish_reason::length);
  auto got = client.receive();
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.headers["x-ratelimit-remaining-tokens"],
            std::to_string(60 - used)); // as it was when it came
  got = fetch(by("none"));
  EXPECT_EQ(got.status, 429);
  EXPECT_EQ(json::parse(got.body)["error"]["type"], "tokens");
}

} // namespace

} // namespace troupe::http
