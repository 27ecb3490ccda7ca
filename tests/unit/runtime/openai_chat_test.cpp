#include "tests/unit/runtime/openai_fixture.hpp"

#include "tests/unit/runtime/chat_templates.hpp"

#include <thread>

namespace troupe::http {

namespace {

using OpenaiChat = openai_fixture;

// -- whole answers ------------------------------------------------------------

TEST_F(OpenaiChat, AnswersWholeWithReasoningApart) {
  start();
  auto client = connect();
  client.send(ask({{"seed", 7}, {"max_tokens", 50}, {"temperature", 0}}));
  auto request = service_.wait_for(1);
  EXPECT_EQ(request.prompt, ids("<｜begin▁of▁sentence｜><｜User｜>hi"
                                "<｜Assistant｜><think>\n"));
  EXPECT_EQ(request.sampling.seed, 7u);
  EXPECT_EQ(request.sampling.temperature, 0);
  EXPECT_EQ(request.max_tokens, 50u);
  auto thought = ids("so it is\n</think>");
  auto speech = ids("Paris.");
  auto all = thought;
  all.insert(all.end(), speech.begin(), speech.end());
  service_.play(1, all, finish_reason::stop);
  auto got = client.receive();
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.headers["content-type"], "application/json");
  auto x = json::parse(got.body);
  EXPECT_EQ(x["object"], "chat.completion");
  EXPECT_EQ(x["model"], "nano");
  EXPECT_EQ(x["created"], 1'700'000'000);
  EXPECT_EQ(x["system_fingerprint"], "fp_test");
  EXPECT_TRUE(x["id"].get<std::string>().starts_with("chatcmpl-"));
  const auto& choice = x["choices"][0];
  EXPECT_EQ(choice["index"], 0);
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["message"]["content"], "Paris.");
  EXPECT_EQ(choice["message"]["reasoning_content"], "so it is\n");
  EXPECT_EQ(x["usage"]["prompt_tokens"], request.prompt.size());
  EXPECT_EQ(x["usage"]["completion_tokens"], all.size());
  EXPECT_EQ(x["usage"]["total_tokens"], request.prompt.size() + all.size());
  EXPECT_EQ(x["usage"]["completion_tokens_details"]["reasoning_tokens"],
            thought.size());
  EXPECT_EQ(x["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
}

TEST_F(OpenaiChat, TellsWhatWasFoundInTheCacheOfPrefixes) {
  openai_options options;
  options.keys = {{"one"}, {"two"}};
  start(options);
  std::vector<std::string> salts;
  for (request_id id : {1, 2}) {
    auto client = connect();
    json body = {{"model", "nano"}, {"prompt", {5, 6, 7}}, {"n", 2}};
    client.send(post("/v1/completions", body.dump(),
                     id == 1 ? "Authorization: Bearer one\r\n"
                             : "Authorization: Bearer two\r\n"));
    for (auto answer : {2 * id - 1, 2 * id}) {
      salts.push_back(service_.wait_for(answer).cache_salt);
      generation_event event;
      event.tokens = {300};
      event.num_cached = 2;
      service_.tell(answer, event);
      service_.play(answer, {300}, finish_reason::length);
    }
    auto x = json::parse(client.receive().body)["usage"];
    EXPECT_EQ(x["prompt_tokens_details"]["cached_tokens"], 2);
    EXPECT_EQ(x["prompt_tokens"], 3);
  }
  EXPECT_EQ(salts[0], salts[1]);
  EXPECT_NE(salts[0], salts[2]); // nobody finds what another key has left
}

TEST_F(OpenaiChat, SaysLengthWhenTheTokensRanOut) {
  start();
  auto client = connect();
  client.send(ask());
  service_.wait_for(1);
  service_.play(1, ids("</think>a b"), finish_reason::length);
  auto x = json::parse(client.receive().body);
  EXPECT_EQ(x["choices"][0]["finish_reason"], "length");
}

TEST_F(OpenaiChat, DrawsASeedWhenNoneIsGiven) {
  start();
  auto a = connect();
  a.send(ask());
  auto first = service_.wait_for(1).sampling.seed;
  auto b = connect();
  b.send(ask());
  EXPECT_NE(service_.wait_for(2).sampling.seed, first);
}

TEST_F(OpenaiChat, UsesTheDefaultsOfTheModelUnlessTold) {
  openai_options options;
  options.defaults = {0.6F, 0.95F, 0};
  start(options);
  auto client = connect();
  client.send(ask());
  auto request = service_.wait_for(1);
  EXPECT_EQ(request.sampling.temperature, 0.6F);
  EXPECT_EQ(request.sampling.top_p, 0.95F);
  auto other = connect();
  other.send(ask({{"temperature", 1.5}, {"top_p", 0.5}, {"top_k", 40}}));
  request = service_.wait_for(2);
  EXPECT_EQ(request.sampling.temperature, 1.5F);
  EXPECT_EQ(request.sampling.top_p, 0.5F);
  EXPECT_EQ(request.sampling.top_k, 40u);
}

TEST_F(OpenaiChat, TakesContentInPartsAndToolMessages) {
  start();
  auto client = connect();
  json text = {{"type", "text"}, {"text", "a"}};
  json call = {{"id", "1"},
               {"type", "function"},
               {"function", {{"name", "f"}, {"arguments", "{}"}}}};
  client.send(ask(
    {{"messages",
      {{{"role", "developer"}, {"content", "be brief"}},
       {{"role", "user"}, {"content", {text, text}}},
       {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {call}}},
       {{"role", "tool"}, {"content", "42"}, {"tool_call_id", "1"}}}}}));
  auto prompt = tokens_->decode(service_.wait_for(1).prompt);
  EXPECT_EQ(
    prompt,
    "<｜begin▁of▁sentence｜>be brief<｜User｜>aa<｜Assistant｜>"
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n"
    "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    "<｜end▁of▁sentence｜><｜tool▁outputs▁begin｜>"
    "<｜tool▁output▁begin｜>42<｜tool▁output▁end｜>"
    "<｜tool▁outputs▁end｜>");
}

// -- the model's chat template ------------------------------------------------

TEST_F(OpenaiChat, WritesThePromptAsTheModelsTemplateDoes) {
  use_template(test::v3_1);
  start();
  const std::pair<json, std::string> cases[] = {
    {json::object(), "</think>"},
    {{{"thinking", false}}, "</think>"},
    {{{"thinking", true}}, "<think>"},
  };
  request_id id = 0;
  for (auto& [switches, mark] : cases) {
    auto client = connect();
    client.send(ask({{"chat_template_kwargs", switches}}));
    EXPECT_EQ(service_.wait_for(++id).prompt,
              ids("<｜begin▁of▁sentence｜><｜User｜>hi<｜Assistant｜>" + mark));
    service_.play(id, ids("so"), finish_reason::stop);
    auto message = json::parse(client.receive().body)["choices"][0]["message"];
    bool thinks = mark == "<think>";
    EXPECT_EQ(message[thinks ? "reasoning_content" : "content"], "so");
  }
}

TEST_F(OpenaiChat, RefusesByNameWhatTheTemplateHasNoVariableFor) {
  use_template(test::v3);
  start();
  const std::pair<const char*, json> cases[] = {{"thinking", true},
                                                {"enable_thinking", true},
                                                {"date", "today"},
                                                {"thinking", "yes"}};
  for (auto& [name, value] : cases) {
    auto got = fetch(ask({{"chat_template_kwargs", {{name, value}}}}));
    EXPECT_EQ(got.status, 400);
    auto error = json::parse(got.body)["error"];
    auto param = std::string{"chat_template_kwargs."} + name;
    EXPECT_EQ(error["param"], param);
    EXPECT_NE(error["message"].get<std::string>().find(param),
              std::string::npos);
  }
  EXPECT_EQ(fetch(ask({{"chat_template_kwargs", "thinking"}})).status, 400);
  json both = {{"thinking", true}, {"enable_thinking", false}};
  EXPECT_EQ(fetch(ask({{"chat_template_kwargs", both}})).status, 400);
  auto client = connect(); // asks for nothing
  client.send(ask({{"chat_template_kwargs", {{"thinking", false}}}}));
  service_.wait_for(1);
}

TEST_F(OpenaiChat, IsRefusedInASentenceWithoutAFormWhileTextGoesOn) {
  for (std::string text : {"", "{{ messages[0].content }}"}) {
    use_template(text);
    start();
    auto got = fetch(ask());
    EXPECT_EQ(got.status, 400);
    auto error = json::parse(got.body)["error"];
    EXPECT_EQ(error["type"], "invalid_request_error");
    EXPECT_NE(error["message"].get<std::string>().find("chat template"),
              std::string::npos);
    EXPECT_EQ(
      fetch(ask({{"chat_template_kwargs", {{"thinking", true}}}})).status, 400);
    auto id = static_cast<request_id>(text.empty() ? 1 : 2);
    auto client = connect();
    client.send(post("/v1/completions",
                     json{{"model", "nano"}, {"prompt", "hi"}}.dump()));
    EXPECT_EQ(service_.wait_for(id).prompt.front(), form_->bos_id());
    TearDown();
  }
}

TEST_F(OpenaiChat, RefusesMessagesThatTheTemplateHasNoFormFor) {
  use_template(test::v2);
  start();
  auto got = fetch(
    ask({{"messages",
          {{{"role", "user"}, {"content", "a"}},
           {{"role", "tool"}, {"content", "42"}, {"tool_call_id", "1"}}}}}));
  EXPECT_EQ(got.status, 400);
  EXPECT_NE(got.body.find("deepseek-v2"), std::string::npos) << got.body;
}

// -- streams ------------------------------------------------------------------

TEST_F(OpenaiChat, StreamsThoughtsThenWordsThenTheEnd) {
  start();
  auto client = connect();
  client.send(
    ask({{"stream", true}, {"stream_options", {{"include_usage", true}}}}));
  auto request = service_.wait_for(1);
  auto tokens = ids("think it</think>say it");
  service_.play(1, tokens, finish_reason::stop);
  auto got = client.receive();
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.headers["content-type"], "text/event-stream");
  auto all = events(got.body);
  ASSERT_GE(all.size(), 4u);
  EXPECT_EQ(all.back(), "[DONE]");
  all.pop_back();
  EXPECT_TRUE(all.back()["choices"].empty());
  EXPECT_EQ(all.back()["usage"]["prompt_tokens"], request.prompt.size());
  EXPECT_EQ(all.back()["usage"]["completion_tokens"], tokens.size());
  all.pop_back();
  EXPECT_EQ(all.back()["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(all.front()["choices"][0]["delta"]["role"], "assistant");
  std::string thought, speech;
  for (const auto& x : all) {
    EXPECT_EQ(x["object"], "chat.completion.chunk");
    EXPECT_EQ(x["id"], all.front()["id"]);
    EXPECT_TRUE(x["usage"].is_null());
    const auto& delta = x["choices"][0]["delta"];
    thought += delta.value("reasoning_content", "");
    speech += delta.value("content", "");
    EXPECT_TRUE(speech.empty() || !delta.contains("reasoning_content"));
  }
  EXPECT_EQ(thought, "think it");
  EXPECT_EQ(speech, "say it");
}

TEST_F(OpenaiChat, SendsEachTokenBeforeTheNextOneComes) {
  start();
  auto client = connect();
  client.send(ask({{"stream", true}}));
  service_.wait_for(1);
  std::string seen;
  for (auto id : ids("one two three")) {
    generation_event event;
    event.tokens = {id};
    service_.tell(1, event);
    if (seen.empty()) {
      EXPECT_EQ(client.receive_head().status, 200);
    }
    auto x = next_event(client);
    EXPECT_FALSE(x.contains("usage"));
    seen += x["choices"][0]["delta"]["reasoning_content"];
  }
  EXPECT_EQ(seen, "one two three");
  service_.play(1, {}, finish_reason::stop);
}

TEST_F(OpenaiChat, NeverCutsACharacter) {
  start();
  auto client = connect();
  client.send(ask({{"stream", true}}));
  service_.wait_for(1);
  const std::string text = "謝謝 \xF0\x9F\xA6\x94\xF0\x9F\x8E\xAD Grüße 𝔘";
  service_.play(1, ids("</think>" + text), finish_reason::stop);
  std::string seen;
  for (const auto& x : events(client.receive().body)) // parse checks UTF-8
    if (x.is_object())
      seen += x["choices"][0]["delta"].value("content", "");
  EXPECT_EQ(seen, text);
}

TEST_F(OpenaiChat, StreamsManyAtOnceWithoutMixingThem) {
  start();
  constexpr int num_clients = 32;
  std::vector<test::http_client> clients;
  for (int i = 0; i < num_clients; ++i) {
    clients.push_back(connect());
    clients.back().send(ask({{"stream", true}, {"seed", i}}));
  }
  std::vector<std::thread> speakers;
  for (request_id id = 1; id <= num_clients; ++id)
    speakers.emplace_back([this, id] {
      auto seed = service_.wait_for(id).sampling.seed;
      std::string text = "</think>";
      for (int k = 0; k < 50; ++k)
        text += std::to_string(seed) + " ";
      service_.play(id, ids(text), finish_reason::stop);
    });
  for (auto& x : speakers)
    x.join();
  for (int i = 0; i < num_clients; ++i) {
    std::string seen, expected;
    for (const auto& x : events(clients[i].receive().body))
      if (x.is_object())
        seen += x["choices"][0]["delta"].value("content", "");
    for (int k = 0; k < 50; ++k)
      expected += std::to_string(i) + " ";
    EXPECT_EQ(seen, expected);
  }
}

// -- stop strings -------------------------------------------------------------

TEST_F(OpenaiChat, EndsBeforeAStopStringAndWantsNoMore) {
  start();
  for (bool stream : {false, true}) {
    auto client = connect();
    client.send(ask({{"stream", stream}, {"stop", {"three", "##"}}}));
    request_id id = stream ? 2 : 1;
    service_.wait_for(id);
    for (auto token : ids("three?</think>one two three four")) {
      generation_event event;
      event.tokens = {token};
      service_.tell(id, event);
    }
    service_.wait_for_cancel(id);
    auto got = client.receive();
    std::string content, finish;
    if (stream) {
      for (const auto& x : events(got.body))
        if (x.is_object()) {
          const auto& choice = x["choices"][0];
          content += choice["delta"].value("content", "");
          if (choice["finish_reason"].is_string())
            finish = choice["finish_reason"];
        }
    } else {
      auto choice = json::parse(got.body)["choices"][0];
      content = choice["message"]["content"];
      finish = choice["finish_reason"];
      EXPECT_EQ(choice["message"]["reasoning_content"], "three?");
    }
    EXPECT_EQ(content, "one two ");
    EXPECT_EQ(finish, "stop");
  }
  EXPECT_EQ(service_.sated(), (std::set<request_id>{1, 2}));
}

// -- clients that go away -----------------------------------------------------

TEST_F(OpenaiChat, CancelsWhenTheClientLeavesBeforeAnyToken) {
  start();
  {
    auto client = connect();
    client.send(ask({{"stream", true}}));
    service_.wait_for(1);
  }
  service_.wait_for_cancel(1);
}

TEST_F(OpenaiChat, CancelsWhenTheClientLeavesInMidStream) {
  start();
  {
    auto client = connect();
    client.send(ask({{"stream", true}}));
    service_.wait_for(1);
    generation_event event;
    event.tokens = ids("word");
    service_.tell(1, event);
    EXPECT_EQ(client.receive_head().status, 200);
    next_event(client);
  }
  service_.wait_for_cancel(1);
  EXPECT_TRUE(service_.sated().empty());
}

TEST_F(OpenaiChat, CancelsWhenTheClientOfAWholeAnswerLeaves) {
  start();
  {
    auto client = connect();
    client.send(ask());
    service_.wait_for(1);
  }
  service_.wait_for_cancel(1);
}

TEST_F(OpenaiChat, CancelsNothingThatCameToItsEnd) {
  start();
  auto client = connect();
  for (request_id id = 1; id <= 200; ++id) {
    client.send(ask({{"stream", id % 2 == 0}}));
    service_.wait_for(id);
    service_.play(id, ids("</think>ok"), finish_reason::stop);
    ASSERT_EQ(client.receive().status, 200);
  }
  EXPECT_EQ(service_.num_cancelled(), 0u);
  EXPECT_EQ(counts_->accepted, 1u);
}

// -- failures -----------------------------------------------------------------

TEST_F(OpenaiChat, Says503WhenAPeerIsLostBeforeTheFirstToken) {
  start();
  auto client = connect();
  client.send(ask());
  service_.wait_for(1);
  generation_event event;
  event.finish = finish_reason::failed;
  event.cause = failure{errc::peer_lost, "expert worker 3 on node-b is gone"};
  service_.tell(1, event);
  auto got = client.receive();
  EXPECT_EQ(got.status, 503);
  auto error = json::parse(got.body)["error"];
  EXPECT_EQ(error["message"], "expert worker 3 on node-b is gone");
  EXPECT_EQ(error["code"], "peer_lost");
}

TEST_F(OpenaiChat, SendsTheHeadOfAStreamWhenItIsAccepted) {
  start();
  auto client = connect();
  client.send(ask({{"stream", true}}));
  auto head = client.receive_head(); // nobody has said a token
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers["content-type"], "text/event-stream");
  EXPECT_EQ(head.headers["cache-control"], "no-cache");
  EXPECT_EQ(head.headers["x-accel-buffering"], "no");
  service_.wait_for(1);
  service_.play(1, ids("</think>word"), finish_reason::stop);
  EXPECT_TRUE(next_event(client).contains("choices"));
}

TEST_F(OpenaiChat, SaysStatusAndErrorOfAStreamThatIsNotAccepted) {
  start();
  service_.refuse(failure{errc::overloaded, "128 requests are waiting"});
  EXPECT_EQ(fetch(ask({{"stream", true}})).status, 429);
}

TEST_F(OpenaiChat, EndsAStreamWithAnErrorThatNamesThePeer) {
  start();
  auto client = connect();
  client.send(ask({{"stream", true}}));
  service_.wait_for(1);
  generation_event event;
  event.tokens = ids("word");
  service_.tell(1, event);
  EXPECT_EQ(client.receive_head().status, 200);
  EXPECT_TRUE(next_event(client).contains("choices"));
  event = {};
  event.finish = finish_reason::failed;
  event.cause = failure{errc::peer_lost, "expert worker 3 on node-b is gone"};
  service_.tell(1, event);
  auto last = next_event(client);
  EXPECT_EQ(last["error"]["message"], "expert worker 3 on node-b is gone");
  EXPECT_EQ(client.receive_chunk(), std::nullopt);
}

TEST_F(OpenaiChat, Says429WithRetryAfterWhenTheServiceIsFull) {
  start();
  service_.refuse(failure{errc::overloaded, "128 requests are waiting"});
  auto got = fetch(ask());
  EXPECT_EQ(got.status, 429);
  EXPECT_EQ(got.headers["retry-after"], "1");
  EXPECT_EQ(json::parse(got.body)["error"]["message"],
            "128 requests are waiting");
  service_.refuse(std::nullopt);
  openai_options options;
  options.max_waiting_bytes = 1000;
  options.everybody.requests_per_minute = 1;
  TearDown();
  start(options);
  for (int i = 0; i < 2; ++i) { // nor does it take from the quota
    got = fetch(ask());
    EXPECT_EQ(got.status, 429);
    EXPECT_NE(got.body.find("Too many requests are waiting"), got.body.npos)
      << got.body;
  }
}

} // namespace

} // namespace troupe::http
