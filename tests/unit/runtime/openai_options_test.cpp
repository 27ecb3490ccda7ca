// What a request may say beside its prompt: what reaches the service, and what
// becomes of several answers.

#include "tests/unit/runtime/openai_fixture.hpp"

#include <map>

namespace troupe::http {

namespace {

class OpenaiOptions : public openai_fixture {
protected:
  static std::string complete(json more) {
    json body = {{"model", "nano"}, {"prompt", "once"}};
    body.update(more);
    return post("/v1/completions", body.dump());
  }

  /// Text of each choice of a stream, and its finish reason.
  static std::map<int, std::pair<std::string, json>>
  texts_of(const std::string& body) {
    std::map<int, std::pair<std::string, json>> out;
    for (const auto& x : events(body)) {
      if (!x.is_object() || x["choices"].empty())
        continue;
      const auto& choice = x["choices"][0];
      auto& [text, finish] = out[choice["index"].get<int>()];
      EXPECT_TRUE(finish.is_null()) << "after the end";
      text += choice.contains("text") ? choice["text"].get<std::string>()
                                      : choice["delta"].value("content", "");
      finish = choice["finish_reason"];
    }
    return out;
  }

  void end_with(request_id id, const std::vector<int32_t>& tokens,
                std::optional<int32_t> end_token) {
    generation_event event;
    event.tokens = tokens;
    event.finish = finish_reason::stop;
    event.end_token = end_token;
    service_.tell(id, event);
  }
};

TEST_F(OpenaiOptions, ReachTheService) {
  start();
  auto client = connect();
  client.send(ask({{"min_p", 0.1},
                   {"repetition_penalty", 1.5},
                   {"presence_penalty", -0.5},
                   {"frequency_penalty", 0.25},
                   {"logit_bias", {{"7", -100}, {"3", 1.5}}},
                   {"stop_token_ids", {5, 6}},
                   {"min_tokens", 2},
                   {"ignore_eos", true},
                   {"seed", -2}}));
  auto x = service_.wait_for(1);
  EXPECT_EQ(x.sampling.min_p, 0.1f);
  EXPECT_EQ(x.sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(x.sampling.presence_penalty, -0.5f);
  EXPECT_EQ(x.sampling.frequency_penalty, 0.25f);
  EXPECT_EQ(x.sampling.biases, (std::vector<logit_bias>{{3, 1.5f}, {7, -100}}));
  EXPECT_EQ(x.sampling.seed, UINT64_MAX - 1);
  EXPECT_EQ(x.stop_ids, (std::vector<int32_t>{5, 6}));
  EXPECT_EQ(x.min_tokens, 2u);
  EXPECT_TRUE(x.ignore_eos);
}

TEST_F(OpenaiOptions, AreThoseOfTheModelUnlessTold) {
  openai_options options;
  options.defaults.min_p = 0.25f;
  options.defaults.repetition_penalty = 1.25f;
  start(options);
  auto client = connect();
  client.send(ask());
  auto x = service_.wait_for(1);
  EXPECT_EQ(x.sampling.min_p, 0.25f);
  EXPECT_EQ(x.sampling.repetition_penalty, 1.25f);
  auto other = connect();
  other.send(ask({{"min_p", 0}, {"repetition_penalty", 1}}));
  x = service_.wait_for(2);
  EXPECT_EQ(x.sampling.min_p, 0);
  EXPECT_EQ(x.sampling.repetition_penalty, 1);
}

TEST_F(OpenaiOptions, WithTokensThatThereAreNotAreRefusedByName) {
  start();
  const std::pair<const char*, json> cases[]
    = {{"stop_token_ids", {1'000'000}},
       {"logit_bias", {{"1000000", 1}}},
       {"min_tokens", 1'000'000}};
  for (auto& [name, value] : cases) {
    auto got = fetch(ask({{name, value}}));
    EXPECT_EQ(got.status, 400) << name;
    EXPECT_EQ(json::parse(got.body)["error"]["param"], name);
  }
  EXPECT_EQ(service_.num_requests(), 0u);
}

// -- ends ---------------------------------------------------------------------

TEST_F(OpenaiOptions, AStopTokenIsNamedAndSaidIfThatIsAskedFor) {
  start();
  auto tokens = ids("one two three");
  auto whole = tokens_->decode(tokens);
  auto stop = tokens.back();
  tokens.pop_back();
  request_id id = 0;
  for (bool include : {false, true}) {
    auto client = connect();
    client.send(complete(
      {{"stop_token_ids", {stop}}, {"include_stop_str_in_output", include}}));
    service_.wait_for(++id);
    end_with(id, tokens, stop);
    auto choice = json::parse(client.receive().body)["choices"][0];
    EXPECT_EQ(choice["text"], include ? whole : tokens_->decode(tokens));
    EXPECT_EQ(choice["finish_reason"], "stop");
    EXPECT_EQ(choice["stop_reason"], stop);
  }
}

TEST_F(OpenaiOptions, TheModelsEndTokenIsNotNamed) {
  start();
  auto client = connect();
  client.send(complete(
    {{"include_stop_str_in_output", true}, {"skip_special_tokens", false}}));
  service_.wait_for(1);
  end_with(1, ids("one"), form_->eos_id());
  auto choice = json::parse(client.receive().body)["choices"][0];
  EXPECT_EQ(choice["text"], "one");
  EXPECT_TRUE(choice["stop_reason"].is_null());
}

TEST_F(OpenaiOptions, AStopStringIsNamedAndSaidIfThatIsAskedFor) {
  start();
  request_id id = 0;
  for (bool stream : {false, true})
    for (bool include : {false, true}) {
      auto client = connect();
      client.send(complete({{"stop", "thr"},
                            {"stream", stream},
                            {"include_stop_str_in_output", include}}));
      service_.wait_for(++id);
      service_.play(id, ids("one two three four"), finish_reason::length);
      auto got = client.receive().body;
      const auto* want = include ? "one two thr" : "one two ";
      if (stream) {
        EXPECT_EQ(texts_of(got)[0].first, want);
        continue;
      }
      auto choice = json::parse(got)["choices"][0];
      EXPECT_EQ(choice["text"], want);
      EXPECT_EQ(choice["stop_reason"], "thr");
    }
}

TEST_F(OpenaiOptions, StopStringsAreLookedForBehindTheLeastTokens) {
  start();
  auto tokens = ids("one two one two one");
  auto client = connect();
  client.send(complete({{"stop", "two"}, {"min_tokens", 3}}));
  service_.wait_for(1);
  service_.play(1, tokens, finish_reason::length);
  auto text = json::parse(client.receive().body)["choices"][0]["text"];
  EXPECT_EQ(text, "one two one ");
}

TEST_F(OpenaiOptions, SpecialTokensAreTextIfThatIsAskedFor) {
  start();
  request_id id = 0;
  for (bool skip : {true, false}) {
    auto client = connect();
    client.send(complete({{"skip_special_tokens", skip}}));
    service_.wait_for(++id);
    service_.play(id, {form_->eos_id()}, finish_reason::length);
    EXPECT_EQ(json::parse(client.receive().body)["choices"][0]["text"],
              skip ? "" : "<｜end▁of▁sentence｜>");
  }
}

// -- several answers ----------------------------------------------------------

TEST_F(OpenaiOptions, GiveSeveralAnswersWithSeedsOfTheirOwn) {
  start();
  request_id first = 1;
  for (bool stream : {false, true}) {
    auto client = connect();
    client.send(ask({{"n", 3},
                     {"seed", 10},
                     {"stream", stream},
                     {"chat_template_kwargs", {{"thinking", true}}}}));
    size_t num_prompt = 0;
    for (request_id i = 0; i < 3; ++i) {
      auto x = service_.wait_for(first + i);
      EXPECT_EQ(x.sampling.seed, 10 + i);
      num_prompt = x.prompt.size();
    }
    for (request_id i : {2, 0, 1})
      service_.play(first + i, ids("</think>" + std::to_string(i)),
                    i ? finish_reason::stop : finish_reason::length);
    first += 3;
    auto got = client.receive().body;
    if (stream) {
      auto texts = texts_of(got);
      ASSERT_EQ(texts.size(), 3u);
      for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(texts[i].first, std::to_string(i));
        EXPECT_EQ(texts[i].second, i ? "stop" : "length");
      }
      continue;
    }
    auto x = json::parse(got);
    ASSERT_EQ(x["choices"].size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      const auto& choice = x["choices"][i];
      EXPECT_EQ(choice["index"], i);
      EXPECT_EQ(choice["message"]["content"], std::to_string(i));
      EXPECT_EQ(choice["finish_reason"], i ? "stop" : "length");
    }
    EXPECT_EQ(x["usage"]["prompt_tokens"], num_prompt) << "counted once";
    EXPECT_EQ(x["usage"]["completion_tokens"], 6);
  }
}

TEST_F(OpenaiOptions, AnswerPromptAfterPrompt) {
  start();
  auto client = connect();
  client.send(
    complete({{"prompt", {ids("a"), ids("b c")}}, {"n", 2}, {"seed", 5}}));
  const std::pair<const char*, uint64_t> want[]
    = {{"a", 5}, {"a", 6}, {"b c", 5}, {"b c", 6}};
  for (request_id id = 1; id <= 4; ++id) {
    auto x = service_.wait_for(id);
    EXPECT_EQ(x.prompt, ids(want[id - 1].first));
    EXPECT_EQ(x.sampling.seed, want[id - 1].second);
    service_.play(id, ids(std::to_string(id)), finish_reason::stop);
  }
  auto x = json::parse(client.receive().body);
  ASSERT_EQ(x["choices"].size(), 4u);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(x["choices"][i]["text"], std::to_string(i + 1));
  EXPECT_EQ(x["usage"]["prompt_tokens"], ids("a").size() + ids("b c").size());
}

TEST_F(OpenaiOptions, EndTogetherIfOneAnswerFails) {
  start();
  auto client = connect();
  client.send(ask({{"n", 3}}));
  service_.wait_for(3);
  service_.play(1, ids("x"), finish_reason::stop);
  generation_event event;
  event.finish = finish_reason::failed;
  event.cause = failure{errc::peer_lost, "node-b is gone"};
  service_.tell(2, event);
  service_.wait_for_cancel(3);
  EXPECT_EQ(client.receive().status, 503);
  EXPECT_EQ(service_.num_cancelled(), 1u) << "one has ended, one has failed";
}

TEST_F(OpenaiOptions, AllAreCancelledWhenTheClientLeaves) {
  start();
  {
    auto client = connect();
    client.send(ask({{"n", 3}}));
    service_.wait_for(3);
  }
  for (request_id id = 1; id <= 3; ++id)
    service_.wait_for_cancel(id);
}

// -- how many tokens ----------------------------------------------------------

TEST_F(OpenaiOptions, SixteenTokensOfATextUnlessTheyAreTold) {
  service_.max_model_len = 100;
  start();
  auto room_for = [](uint32_t count) {
    return std::vector<int32_t>(100 - count, 5);
  };
  const std::tuple<json, uint32_t> cases[] = {
    {json::object(), 16},           {{{"max_tokens", 20}}, 20},
    {{{"min_tokens", 30}}, 30},     {{{"prompt", room_for(17)}}, 16},
    {{{"prompt", room_for(9)}}, 9},
  };
  request_id last = 0;
  for (const auto& [more, wanted] : cases) {
    auto client = connect();
    client.send(complete(more));
    EXPECT_EQ(service_.wait_for(++last).max_tokens, wanted) << more;
  }
  EXPECT_EQ(fetch(complete({{"prompt", room_for(0)}})).status, 400);
  auto client = connect();
  client.send(ask());
  EXPECT_GT(service_.wait_for(++last).max_tokens, 16u) << "a chat has them all";
}

// -- echo ---------------------------------------------------------------------

TEST_F(OpenaiOptions, SayThePromptAgain) {
  start();
  request_id id = 0;
  for (bool stream : {false, true})
    for (json prompt : {json("once upon"), json(ids("once upon"))}) {
      auto client = connect();
      client.send(
        complete({{"prompt", prompt}, {"echo", true}, {"stream", stream}}));
      service_.wait_for(++id);
      service_.play(id, ids(" a time"), finish_reason::stop);
      auto got = client.receive().body;
      EXPECT_EQ(stream ? json(texts_of(got)[0].first)
                       : json::parse(got)["choices"][0]["text"],
                "once upon a time");
    }
}

TEST_F(OpenaiOptions, SayNothingButThePromptWithoutTokens) {
  start();
  auto client = connect();
  client.send(complete({{"echo", true}, {"max_tokens", 0}}));
  EXPECT_EQ(service_.wait_for(1).max_tokens, 1u);
  service_.play(1, ids("x"), finish_reason::length);
  auto x = json::parse(client.receive().body);
  EXPECT_EQ(x["choices"][0]["text"], "once");
  EXPECT_EQ(x["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(x["usage"]["completion_tokens"], 0);
}

TEST_F(OpenaiOptions, LeaveOutTheBeginTokenIfThatIsAskedFor) {
  start();
  auto client = connect();
  client.send(complete({{"add_special_tokens", false}}));
  EXPECT_EQ(service_.wait_for(1).prompt, ids("once"));
}

} // namespace

} // namespace troupe::http
