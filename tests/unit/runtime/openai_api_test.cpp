#include "tests/unit/runtime/openai_fixture.hpp"

#include <future>
#include <thread>

namespace troupe::http {

namespace {

using OpenaiApi = openai_fixture;

json error_of(const test::http_answer& got) {
  auto x = json::parse(got.body);
  for (const auto* name : {"message", "type", "param", "code"})
    EXPECT_TRUE(x["error"].contains(name)) << got.body;
  return x["error"];
}

// -- routes -------------------------------------------------------------------

TEST_F(OpenaiApi, ListsItsModel) {
  start();
  auto x = json::parse(fetch(get("/v1/models")).body);
  EXPECT_EQ(x["object"], "list");
  ASSERT_EQ(x["data"].size(), 1u);
  EXPECT_EQ(x["data"][0]["id"], "nano");
  EXPECT_EQ(x["data"][0]["object"], "model");
  EXPECT_EQ(x["data"][0]["max_model_len"], 4096);
  EXPECT_EQ(json::parse(fetch(get("/v1/models/n%61no")).body)["id"], "nano");
  auto got = fetch(get("/v1/models/other"));
  EXPECT_EQ(got.status, 404);
  EXPECT_EQ(error_of(got)["code"], "model_not_found");
}

TEST_F(OpenaiApi, IsHealthyUntilAPartIsMissingAndReadyAsLongAsItTakesRequests) {
  start();
  auto health = [this](const char* path) {
    auto got = fetch(get(path));
    return std::pair{got.status, json::parse(got.body)};
  };
  cluster_status now;
  now.takes_requests = true;
  service_.look_like(now);
  using answer = std::pair<int, json>;
  for (const auto* path : {"/health", "/health/ready"}) {
    service_.be_in_trouble(std::nullopt);
    EXPECT_EQ(health(path), (answer{200, {{"status", "ok"}}}));
    service_.be_in_trouble("node b was lost: it was silent");
    json why{{"status", "degraded"},
             {"reason", "node b was lost: it was silent"}};
    EXPECT_EQ(health(path), (answer{200, why})) << "others do its work";
    service_.look_like(cluster_status{});
    why["status"] = "unavailable";
    EXPECT_EQ(health(path), (answer{503, why})) << "nobody does";
    service_.look_like(now);
  }
  api_->retire();
  EXPECT_EQ(health("/health").first, 503) << "nobody is let in";
}

TEST_F(OpenaiApi, HasNothingBesideItsTable) {
  start();
  for (const auto* path : {"/", "/v1", "/v1/", "/v1/embeddings", "/v1/model",
                           "/v1/models/", "/v1/chat/completions/", "/V1/models",
                           "/shutdown", "/health/../metrics", "//health"}) {
    auto got = fetch(get(path));
    EXPECT_EQ(got.status, 404) << path;
    EXPECT_EQ(error_of(got)["code"], "unknown_url");
  }
  auto got = fetch(get("/v1/chat/completions"));
  EXPECT_EQ(got.status, 405);
  EXPECT_EQ(error_of(got)["code"], "method_not_supported");
  EXPECT_EQ(fetch(post("/v1/models", "")).status, 405);
  EXPECT_EQ(fetch(get("/health?verbose=1")).status, 200);
}

TEST_F(OpenaiApi, RefusesEverythingButHealthWithoutTheKey) {
  openai_options options;
  options.keys = {{"secret"}};
  start(options);
  const std::vector<std::string> wrong = {"",
                                          "Authorization: Bearer wrong\r\n",
                                          "Authorization: Bearer secret2\r\n",
                                          "Authorization: Bearer \r\n",
                                          "Authorization: secret\r\n",
                                          "Authorization: Basic secret\r\n"};
  for (const auto& headers : wrong) {
    for (const auto* path : {"/v1/models", "/v1/models/nano", "/metrics",
                             "/unknown", "/v1/chat/completions"}) {
      auto got = fetch(get(path, headers));
      EXPECT_EQ(got.status, 401) << path << " " << headers;
      auto error = error_of(got);
      EXPECT_EQ(error["code"], "invalid_api_key");
      auto why = error["message"].get<std::string>();
      EXPECT_EQ(why.starts_with("You didn't provide"), headers.empty()) << why;
    }
    for (const auto* path : {"/v1/chat/completions", "/v1/completions"})
      EXPECT_EQ(fetch(post(path, "{}", headers)).status, 401);
    EXPECT_EQ(fetch(get("/health", headers)).status, 200);
  }
  const std::string right = "Authorization: Bearer secret\r\n";
  EXPECT_EQ(fetch(get("/v1/models", right)).status, 200);
  EXPECT_EQ(fetch(get("/metrics", right)).status, 200);
  EXPECT_EQ(fetch(post("/v1/completions", "{}", right)).status, 400);
}

TEST_F(OpenaiApi, LetsEverybodyReadTheMetricsIfItIsToldTo) {
  openai_options options;
  options.keys = {{"secret"}};
  options.open_metrics = true;
  start(options);
  EXPECT_EQ(fetch(get("/metrics")).status, 200);
  EXPECT_EQ(fetch(get("/v1/models")).status, 401);
  EXPECT_EQ(fetch(post("/metrics", "")).status, 405);
}

TEST_F(OpenaiApi, AsksForTheKeyBeforeABodyComes) {
  openai_options options;
  options.keys = {{"secret"}, {"new"}};
  start(options);
  const std::string head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\n";
  const std::string chunked = "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(fetch(head + "Content-Length: 8000000\r\n\r\n").status, 401);
  EXPECT_EQ(fetch(head + chunked).status, 401);
  EXPECT_EQ(
    fetch(head + chunked + "0\r\nAuthorization: Bearer secret\r\n\r\n").status,
    401);
  for (const auto& key : options.keys)
    EXPECT_EQ(fetch(head + "Authorization: Bearer " + key.key + "\r\n" + chunked
                    + "2\r\n{}\r\n0\r\n\r\n")
                .status,
              400)
      << key.key;
  EXPECT_EQ(fetch("GET /health HTTP/1.1\r\nHost: x\r\n"
                  "Content-Length: 8000000\r\n\r\n")
              .status,
            400);
}

TEST_F(OpenaiApi, ReadsShortRequestsWhileALongOneIsRead) {
  std::promise<void> go_on;
  auto gate = go_on.get_future().share();
  std::atomic<bool> is_first = true;
  on_draw_ = [&] {
    if (is_first.exchange(false))
      gate.wait();
  };
  openai_options options;
  options.short_body = 200;
  start(options);
  auto a = connect();
  a.send(ask({{"user", std::string(200, 'x')}}));
  while (is_first)
    std::this_thread::yield(); // it is being read
  auto b = connect();
  b.send(ask());
  service_.wait_for(1);
  service_.play(1, ids("word"), finish_reason::stop);
  EXPECT_EQ(b.receive().status, 200);
  EXPECT_EQ(service_.num_requests(), 1u);
  go_on.set_value();
  service_.wait_for(2);
}

TEST_F(OpenaiApi, ReadsNothingOfWhoHasLeftMeanwhile) {
  std::promise<void> go_on;
  auto gate = go_on.get_future().share();
  std::atomic<bool> is_first = true;
  on_draw_ = [&] {
    if (is_first.exchange(false))
      gate.wait();
  };
  start();
  auto first = connect();
  first.send(ask());
  while (is_first)
    std::this_thread::yield(); // it is being read
  std::vector<test::http_client> others;
  for (int i = 0; i < 5; ++i)
    others.push_back(connect());
  for (auto& x : others)
    x.send(ask());
  // Each number is waited for: two are open on the way there and back, too.
  wait_for_open(6);
  others.clear();
  wait_for_open(1);
  auto last = connect();
  last.send(ask());
  wait_for_open(2);
  go_on.set_value();
  service_.wait_for(2);
  for (request_id id : {1, 2})
    service_.play(id, ids("word"), finish_reason::stop);
  EXPECT_EQ(first.receive().status, 200);
  EXPECT_EQ(last.receive().status, 200);
  EXPECT_EQ(service_.num_requests(), 2u);
}

TEST_F(OpenaiApi, CountsAndTimesForPrometheus) {
  start();
  auto client = connect();
  client.send(ask());
  service_.wait_for(1);
  now_ = std::chrono::milliseconds{300};
  generation_event event;
  event.tokens = ids("a");
  service_.tell(1, event);
  now_ = std::chrono::milliseconds{304};
  service_.tell(1, event);
  service_.play(1, {}, finish_reason::stop);
  EXPECT_EQ(client.receive().status, 200);
  fetch(get("/nowhere"));
  auto got = fetch(get("/metrics"));
  EXPECT_TRUE(got.headers["content-type"].starts_with("text/plain"));
  for (const auto* line :
       {"troupe_generated_tokens_total 1234", "troupe_kv_blocks 64",
        "troupe_http_requests_total{route=\"/v1/chat/completions\","
        "status=\"200\"} 1",
        "troupe_http_requests_total{route=\"other\",status=\"404\"} 1",
        "troupe_http_connections_total 3",
        "troupe_http_connections_turned_away_total 0",
        "troupe_time_to_first_token_seconds_bucket{le=\"0.25\"} 0",
        "troupe_time_to_first_token_seconds_bucket{le=\"0.5\"} 1",
        "troupe_time_to_first_token_seconds_bucket{le=\"+Inf\"} 1",
        "troupe_time_to_first_token_seconds_sum 0.3",
        "troupe_time_per_output_token_seconds_bucket{le=\"0.0025\"} 0",
        "troupe_time_per_output_token_seconds_bucket{le=\"0.005\"} 1",
        "troupe_time_per_output_token_seconds_count 1"})
    EXPECT_NE(got.body.find("\n" + std::string{line} + "\n"), std::string::npos)
      << line << " is not in\n"
      << got.body;
}

// -- text completions ---------------------------------------------------------

TEST_F(OpenaiApi, CompletesTextAndIds) {
  start();
  const json prompts[] = {"once", json::array({"once"}), ids("once")};
  request_id id = 0;
  for (const auto& prompt : prompts) {
    auto client = connect();
    client.send(post("/v1/completions",
                     json{{"model", "nano"}, {"prompt", prompt}}.dump()));
    auto expected = ids("once");
    bool as_ids = prompt.is_array() && prompt[0].is_number();
    if (!as_ids)
      expected.insert(expected.begin(), form_->bos_id());
    EXPECT_EQ(service_.wait_for(++id).prompt, expected);
    service_.play(id, ids("upon</think>a time"), finish_reason::length);
    auto x = json::parse(client.receive().body);
    EXPECT_EQ(x["object"], "text_completion");
    EXPECT_EQ(x["choices"][0]["text"], "upon</think>a time");
    EXPECT_EQ(x["choices"][0]["finish_reason"], "length");
    EXPECT_TRUE(x["id"].get<std::string>().starts_with("cmpl-"));
  }
}

TEST_F(OpenaiApi, StreamsTextCompletions) {
  start();
  auto client = connect();
  json body = {{"model", "nano"}, {"prompt", "once"}, {"stream", true}};
  client.send(post("/v1/completions", body.dump()));
  service_.wait_for(1);
  service_.play(1, ids("upon a time"), finish_reason::stop);
  std::string seen;
  auto all = events(client.receive().body);
  for (const auto& x : all)
    if (x.is_object())
      seen += x["choices"][0]["text"];
  EXPECT_EQ(seen, "upon a time");
  EXPECT_EQ(all.back(), "[DONE]");
}

// -- refusals -----------------------------------------------------------------

TEST_F(OpenaiApi, SaysWhichModelDoesNotExist) {
  start();
  auto got = fetch(ask({{"model", "gpt-4"}}));
  EXPECT_EQ(got.status, 404);
  auto error = error_of(got);
  EXPECT_EQ(error["code"], "model_not_found");
  EXPECT_EQ(error["param"], "model");
  EXPECT_EQ(error["message"], "The model 'gpt-4' does not exist.");
}

TEST_F(OpenaiApi, SaysHowLongAContextIs) {
  service_.max_model_len = 100;
  start();
  std::string words;
  for (int i = 0; i < 200; ++i)
    words += "word ";
  json messages = {{{"role", "user"}, {"content", words}}};
  auto got = fetch(ask({{"messages", messages}}));
  EXPECT_EQ(got.status, 400);
  auto error = error_of(got);
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_EQ(error["param"], "messages");
  auto message = error["message"].get<std::string>();
  EXPECT_TRUE(
    message.starts_with("This model's maximum context length is 100 tokens. "))
    << message;
  got = fetch(ask({{"max_tokens", 100}}));
  EXPECT_EQ(error_of(got)["code"], "context_length_exceeded");
  EXPECT_EQ(service_.num_requests(), 0u);
}

TEST_F(OpenaiApi, RefusesATextThatCannotFitBeforeItKnowsItsTokens) {
  service_.max_model_len = 100;
  start();
  size_t longest = 0;
  for (uint32_t id = 0; id < tokens_->vocab_size(); ++id)
    longest = std::max(longest, tokens_->bytes_of(int32_t(id)).size());
  EXPECT_EQ(tokens_->max_bytes(), longest);
  auto refusal = [&](const std::string& path, size_t size) {
    std::string text(size, 'a');
    json body = {{"model", "nano"}, {"max_tokens", 5}};
    if (path == "/v1/completions")
      body["prompt"] = {"a", text};
    else
      body["messages"] = {{{"role", "user"}, {"content", text}}};
    auto got = fetch(post(path, body.dump()));
    EXPECT_EQ(got.status, 400);
    return json::parse(got.body)["error"]["message"].get<std::string>();
  };
  const auto* words = "you requested at least 106 tokens (at least 101 in the ";
  EXPECT_NE(refusal("/v1/completions", 100 * longest + 1).find(words),
            std::string::npos);
  EXPECT_EQ(refusal("/v1/completions", 100 * longest).find("at least"),
            std::string::npos);
  EXPECT_NE(refusal("/v1/chat/completions", 100 * longest + 1).find("at least"),
            std::string::npos);
  EXPECT_EQ(refusal("/v1/chat/completions", 90 * longest).find("at least"),
            std::string::npos);
  EXPECT_EQ(refusal("/v1/messages", 100 * longest + 1)
              .find("This model's maximum context length is 100 tokens. "),
            0u);
  EXPECT_EQ(service_.num_requests(), 0u);
}

// A text of millions of letters takes seconds.
TEST_F(OpenaiApi, CountsNoTokensOfATextThatCannotFit) {
  service_.max_model_len = 100;
  start();
  std::string text(100 * tokens_->max_bytes() + 1, 'a');
  json chat = {{"model", "nano"}, {"max_tokens", 5}};
  chat["messages"] = {{{"role", "user"}, {"content", text}}};
  json plain = {{"model", "nano"}, {"prompt", text}};
  for (auto& [path, body] :
       {std::pair{"/tokenize", plain}, std::pair{"/tokenize", chat},
        std::pair{"/v1/messages/count_tokens", chat}}) {
    auto got = fetch(post(path, body.dump()));
    EXPECT_EQ(got.status, 400) << path;
    EXPECT_NE(got.body.find("maximum context length is 100 tokens"),
              std::string::npos)
      << got.body;
  }
  plain["prompt"].get_ref<std::string&>().pop_back();
  EXPECT_EQ(fetch(post("/tokenize", plain.dump())).status, 200);
}

TEST_F(OpenaiApi, TakesARequestThatJustFillsTheContext) {
  service_.max_model_len = 100;
  start();
  auto length
    = ids("<｜begin▁of▁sentence｜><｜User｜>hi<｜Assistant｜><think>\n").size();
  EXPECT_EQ(fetch(ask({{"max_tokens", 101 - length}})).status, 400);
  auto client = connect();
  client.send(ask({{"max_tokens", 100 - length}}));
  EXPECT_EQ(service_.wait_for(1).max_tokens, 100 - length);
}

TEST_F(OpenaiApi, KnowsNoTokensBeyondTheVocabulary) {
  start();
  for (auto id : {-1, 1'000'000}) {
    json body = {{"model", "nano"}, {"prompt", json::array({id})}};
    EXPECT_EQ(fetch(post("/v1/completions", body.dump())).status, 400);
  }
  EXPECT_EQ(service_.num_requests(), 0u);
}

} // namespace

} // namespace troupe::http
