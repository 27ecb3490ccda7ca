/// The routes beside the completions: for those who run a server and for those
/// who count tokens.

#include "runtime/http/tokenizer_info.hpp"

#include "tests/unit/runtime/openai_fixture.hpp"

namespace troupe::http {

namespace {

class OpenaiRoutes : public openai_fixture {
protected:
  json tell(const std::string& path, const json& body) {
    auto got = fetch(post(path, body.dump()));
    EXPECT_EQ(got.status, 200) << got.body;
    return json::parse(got.body);
  }

  int status_of(const std::string& path, const json& body) {
    return fetch(post(path, body.dump())).status;
  }

  /// Four requests come and go, one in so many seconds, while others wait.
  void answer_four(uint64_t seconds_each, service_stats& stats) {
    stats.requests_accepted = 100;
    stats.requests_waiting = 50;
    for (request_id id = 1; id <= 4; ++id) {
      service_.show(stats);
      auto client = connect();
      client.send(ask());
      service_.wait_for(id);
      now_ = std::chrono::seconds{seconds_each * id};
      ++stats.requests_finished;
      service_.show(stats);
      service_.play(id, ids("word"), finish_reason::stop);
      ASSERT_EQ(client.receive().status, 200);
    }
  }
};

TEST_F(OpenaiRoutes, SayWhetherItLivesAndWhetherItIsReady) {
  start();
  for (const auto* path : {"/health", "/health/live", "/health/ready"})
    EXPECT_EQ(fetch(get(path)).status, 200) << path;
  service_.be_in_trouble("the cluster is starting");
  EXPECT_EQ(fetch(get("/health/live")).status, 200);
  EXPECT_EQ(fetch(get("/health/ready")).status, 503);
  service_.be_in_trouble(std::nullopt);
  EXPECT_EQ(fetch(get("/health/ready")).status, 200);
  api_->retire();
  EXPECT_EQ(fetch(get("/health/live")).status, 200);
  for (const auto* path : {"/health", "/health/ready"}) {
    auto got = fetch(get(path));
    EXPECT_EQ(got.status, 503);
    EXPECT_EQ(json::parse(got.body)["reason"], "the server is shutting down");
  }
}

TEST_F(OpenaiRoutes, SayVersionAndLoad) {
  openai_options options;
  options.version = "1.2.3";
  start(options);
  EXPECT_EQ(json::parse(fetch(get("/version")).body),
            (json{{"version", "1.2.3"}}));
  auto load = json::parse(fetch(get("/v1/load")).body);
  EXPECT_EQ(load["kv_blocks"], 64);
  EXPECT_EQ(load["server_load"], 0);
}

TEST_F(OpenaiRoutes, TellWhatAPromptIsMadeOf) {
  auto model = source_dir() / "examples/nano/model";
  auto info = render_tokenizer_info(model, 4096);
  ASSERT_TRUE(info) << info.why().message;
  openai_options options;
  options.tokenizer_info = *info;
  start(options);
  auto x = json::parse(fetch(get("/tokenizer_info")).body);
  EXPECT_EQ(x["bos_token"], "<｜begin▁of▁sentence｜>");
  EXPECT_EQ(x["eos_token"], "<｜end▁of▁sentence｜>");
  EXPECT_EQ(x["model_max_length"], 4096);
  auto form = x["chat_template"].get<std::string>();
  EXPECT_NE(form.find("<｜Assistant｜>"), std::string::npos) << form;
  EXPECT_FALSE(render_tokenizer_info(model / "none", 4096));
  auto other = render_tokenizer_info(model, 4096, false);
  ASSERT_TRUE(other);
  EXPECT_TRUE(json::parse(*other)["chat_template"].is_null());
}

TEST_F(OpenaiRoutes, NeedTheKeyButForHealth) {
  openai_options options;
  options.keys = {{"secret"}};
  start(options);
  for (const auto* path : {"/version", "/v1/load"})
    EXPECT_EQ(fetch(get(path)).status, 401) << path;
  for (const auto* path : {"/tokenize", "/detokenize"})
    EXPECT_EQ(status_of(path, {}), 401) << path;
  for (const auto* path : {"/health/live", "/health/ready"})
    EXPECT_EQ(fetch(get(path)).status, 200) << path;
}

TEST_F(OpenaiRoutes, Say429WhereARequestWouldWaitTooLong) {
  openai_options options;
  options.max_queue_wait = std::chrono::seconds{10};
  start(options);
  service_stats stats;
  ASSERT_NO_FATAL_FAILURE(answer_four(5, stats));
  auto got = fetch(ask({{"stream", true}}));
  EXPECT_EQ(got.status, 429);
  EXPECT_GT(std::stoi(got.headers["retry-after"]), 100);
  EXPECT_NE(got.body.find("more than the 10 s that it may"), std::string::npos);
  EXPECT_EQ(service_.num_requests(), 4u);
  stats.requests_accepted = stats.requests_finished;
  stats.requests_waiting = 0;
  stats.kv_blocks_free = 64;
  service_.show(stats);
  auto client = connect();
  client.send(ask());
  service_.wait_for(5);
}

TEST_F(OpenaiRoutes, EveryAnswerNeedsBlocksOfItsOwn) {
  openai_options options;
  options.max_queue_wait = std::chrono::seconds{10};
  start(options);
  service_stats stats;
  ASSERT_NO_FATAL_FAILURE(answer_four(50, stats));
  // One runs, nobody waits, and there are blocks for three.
  stats.requests_finished = stats.requests_accepted - 1;
  stats.requests_waiting = 0;
  stats.kv_blocks_free = 3;
  service_.show(stats);
  EXPECT_EQ(fetch(ask({{"n", 4}})).status, 429);
  auto client = connect();
  client.send(ask({{"n", 3}}));
  service_.wait_for(7);
}

// -- tokens -------------------------------------------------------------------

TEST_F(OpenaiRoutes, MakeTokensOfTextAsCompletionsDo) {
  start();
  auto expected = ids("once upon");
  auto x = tell("/tokenize",
                {{"prompt", "once upon"}, {"add_special_tokens", false}});
  EXPECT_EQ(x["tokens"], json(expected));
  EXPECT_EQ(x["count"], expected.size());
  EXPECT_EQ(x["max_model_len"], 4096);
  EXPECT_TRUE(x["token_strs"].is_null());
  expected.insert(expected.begin(), form_->bos_id());
  x = tell(
    "/tokenize",
    {{"model", "nano"}, {"prompt", "once upon"}, {"return_token_strs", true}});
  EXPECT_EQ(x["tokens"], json(expected));
  std::string text;
  for (const std::string part : x["token_strs"])
    text += part;
  EXPECT_TRUE(text.ends_with("once upon")) << text;
}

TEST_F(OpenaiRoutes, MakeTokensOfChatsAsTheyWouldBeAsked) {
  start();
  json body = {{"model", "nano"},
               {"messages", {{{"role", "user"}, {"content", "hi"}}}}};
  auto x = tell("/tokenize", body);
  EXPECT_EQ(x["tokens"], json(ids("<｜begin▁of▁sentence｜><｜User｜>hi"
                                  "<｜Assistant｜><think>\n")));
  EXPECT_EQ(service_.num_requests(), 0u);
}

TEST_F(OpenaiRoutes, MakeTextOfTokens) {
  start();
  auto x = tell("/detokenize", {{"tokens", ids("once upon a 時間")}});
  EXPECT_EQ(x, (json{{"prompt", "once upon a 時間"}}));
  EXPECT_EQ(tell("/detokenize", {{"tokens", json::array()}})["prompt"], "");
}

TEST_F(OpenaiRoutes, RefuseWhatIsNoTextAndNoToken) {
  start();
  for (const json& body :
       {json::object(), json{{"prompt", 1}}, json{{"prompt", json::array()}},
        json{{"prompt", "x"}, {"add_special_tokens", 1}},
        json{{"model", "nano"}, {"messages", json::array()}}})
    EXPECT_EQ(status_of("/tokenize", body), 400) << body;
  EXPECT_EQ(status_of("/tokenize", {{"model", "gpt-4"}, {"prompt", "x"}}), 404);
  for (const json& body :
       {json::object(), json{{"tokens", 1}}, json{{"tokens", {-1}}},
        json{{"tokens", {1'000'000}}}, json{{"tokens", {"a"}}},
        json{{"tokens", {1.5}}}})
    EXPECT_EQ(status_of("/detokenize", body), 400) << body;
  EXPECT_EQ(fetch(post("/tokenize", "no json")).status, 400);
}

} // namespace

} // namespace troupe::http
