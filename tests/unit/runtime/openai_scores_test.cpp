// Log-probabilities in the forms that OpenAI's clients know.

#include "tests/unit/runtime/openai_fixture.hpp"

namespace troupe::http {

namespace {

class OpenaiScores : public openai_fixture {
protected:
  static std::string complete(json more) {
    json body = {{"model", "nano"}, {"prompt", "once"}};
    body.update(more);
    return post("/v1/completions", body.dump());
  }

  /// A token whose score is minus its place, and `others` below it.
  static generation_event said(int32_t id, float score,
                               const std::vector<int32_t>& others = {}) {
    generation_event event;
    event.tokens = {id};
    event.scores = {{id, score}};
    for (auto other : others)
      event.scores.push_back({other, score -= 1});
    return event;
  }

  static generation_event end(finish_reason why) {
    generation_event event;
    event.finish = why;
    return event;
  }

  /// Scores of the prompt's tokens from `first` on: minus their place, beside
  /// one other token.
  static generation_event scored(const std::vector<int32_t>& prompt,
                                 uint32_t first, uint32_t count) {
    generation_event event;
    event.first_scored = first;
    for (auto i = first; i < first + count; ++i) {
      event.prompt_scores.push_back({prompt.at(i), -float(i)});
      event.prompt_scores.push_back({3, -0.5f});
    }
    return event;
  }
};

TEST_F(OpenaiScores, AreAskedForInEitherForm) {
  start();
  const std::pair<json, uint32_t> chats[]
    = {{{{"logprobs", true}}, 1},
       {{{"logprobs", true}, {"top_logprobs", 20}}, 21},
       {{{"logprobs", false}}, 0},
       {{{"logprobs", nullptr}, {"top_logprobs", 0}}, 0}};
  request_id id = 0;
  for (auto& [more, count] : chats) {
    auto client = connect();
    client.send(ask(more));
    EXPECT_EQ(service_.wait_for(++id).num_scores, count) << more;
  }
  const std::pair<json, uint32_t> texts[] = {{{{"logprobs", 0}}, 1},
                                             {{{"logprobs", 5}}, 6},
                                             {{{"logprobs", nullptr}}, 0}};
  for (auto& [more, count] : texts) {
    auto client = connect();
    client.send(complete(more));
    auto x = service_.wait_for(++id);
    EXPECT_EQ(x.num_scores, count) << more;
    EXPECT_EQ(x.num_prompt_scores, 0u);
  }
  auto client = connect();
  client.send(complete({{"logprobs", 2}, {"echo", true}}));
  EXPECT_EQ(service_.wait_for(++id).num_prompt_scores, 3u);
  for (auto& bad : {json{{"top_logprobs", 2}}, json{{"logprobs", 1}},
                    json{{"logprobs", true}, {"top_logprobs", 21}}})
    EXPECT_EQ(fetch(ask(bad)).status, 400) << bad;
  for (auto& bad : {json{{"logprobs", true}}, json{{"logprobs", 21}},
                    json{{"logprobs", -1}}})
    EXPECT_EQ(fetch(complete(bad)).status, 400) << bad;
}

TEST_F(OpenaiScores, OfAChatStandBesideItsTokens) {
  start();
  auto thought = ids("hm</think>");
  auto word = ids("a").at(0);
  auto other = ids("b").at(0);
  request_id id = 0;
  for (bool stream : {false, true}) {
    auto client = connect();
    client.send(
      ask({{"logprobs", true}, {"top_logprobs", 2}, {"stream", stream}}));
    service_.wait_for(++id);
    for (auto token : thought)
      service_.tell(id, said(token, -3, {token, other}));
    service_.tell(id, said(word, -0.25f, {word, other}));
    service_.tell(id, end(finish_reason::stop));
    auto got = client.receive().body;
    auto content = json::array();
    if (stream) {
      for (const auto& x : events(got))
        if (x.is_object() && x["choices"][0]["logprobs"].is_object())
          for (auto& one : x["choices"][0]["logprobs"]["content"])
            content.push_back(one);
    } else {
      content = json::parse(got)["choices"][0]["logprobs"]["content"];
    }
    ASSERT_EQ(content.size(), thought.size() + 1);
    auto last = content.back();
    EXPECT_EQ(last["token"], "a");
    EXPECT_EQ(last["logprob"], -0.25);
    EXPECT_EQ(last["bytes"], json::array({97}));
    ASSERT_EQ(last["top_logprobs"].size(), 2u);
    EXPECT_EQ(last["top_logprobs"][1]["token"], "b");
    EXPECT_EQ(last["top_logprobs"][1]["logprob"], -2.25);
  }
}

TEST_F(OpenaiScores, OfATextAreListsAndNameTheChosenTokenToo) {
  start();
  auto client = connect();
  client.send(complete({{"logprobs", 2}}));
  service_.wait_for(1);
  auto tokens = ids("a b");
  const std::vector others{ids("x").at(0), ids("y").at(0)};
  ASSERT_EQ(tokens.size(), 2u);
  for (auto token : tokens)
    service_.tell(1, said(token, -2, others));
  service_.tell(1, end(finish_reason::length));
  auto x = json::parse(client.receive().body)["choices"][0]["logprobs"];
  EXPECT_EQ(x["tokens"], (json{"a", " b"}));
  EXPECT_EQ(x["token_logprobs"], (json{-2.0, -2.0}));
  EXPECT_EQ(x["text_offset"], (json{0, 1}));
  EXPECT_EQ(x["top_logprobs"][0],
            (json{{"x", -3.0}, {"y", -4.0}, {"a", -2.0}}));
}

TEST_F(OpenaiScores, OfTokensOfOneTextAreThoseOfTheLikeliest) {
  start();
  auto client = connect();
  client.send(complete({{"logprobs", 2}}));
  service_.wait_for(1);
  auto parts = ids("\xF0\x9F\xA6\x94"); // no part is a character
  ASSERT_GE(parts.size(), 3u);
  service_.tell(1, said(parts[0], -1, {parts[1], parts[2]}));
  service_.tell(1, end(finish_reason::length));
  auto x = json::parse(client.receive().body)["choices"][0]["logprobs"];
  EXPECT_EQ(x["top_logprobs"][0], (json{{"\uFFFD", -2.0}}));
}

TEST_F(OpenaiScores, OfImpossibleTokensAreNumbersStill) {
  start();
  auto client = connect();
  client.send(complete({{"logprobs", 0}}));
  service_.wait_for(1);
  service_.tell(1, said(5, -INFINITY));
  service_.tell(1, end(finish_reason::length));
  auto x = json::parse(client.receive().body)["choices"][0]["logprobs"];
  EXPECT_EQ(x["token_logprobs"], (json{-9999.0}));
}

// -- echo ---------------------------------------------------------------------

TEST_F(OpenaiScores, OfTheEchoComeWithThePrompt) {
  start();
  auto prompt = ids("a b c d");
  ASSERT_EQ(prompt.size(), 4u);
  request_id id = 0;
  for (bool stream : {false, true}) {
    auto client = connect();
    client.send(complete({{"prompt", prompt},
                          {"logprobs", 1},
                          {"echo", true},
                          {"max_tokens", 1},
                          {"stream", stream}}));
    service_.wait_for(++id);
    service_.tell(id, scored(prompt, 1, 2));
    service_.tell(id, scored(prompt, 2, 2)); // one of them for the second time
    auto last = said(ids(" e").at(0), -7, {3});
    last.finish = finish_reason::length;
    service_.tell(id, last);
    auto got = client.receive().body;
    auto choice = stream ? events(got).at(0)["choices"][0]
                         : json::parse(got)["choices"][0];
    EXPECT_EQ(choice["text"], "a b c d e");
    auto x = choice["logprobs"];
    EXPECT_EQ(x["tokens"], (json{"a", " b", " c", " d", " e"}));
    EXPECT_EQ(x["token_logprobs"], (json{nullptr, -1.0, -2.0, -3.0, -7.0}));
    EXPECT_EQ(x["text_offset"], (json{0, 1, 3, 5, 7}));
    EXPECT_TRUE(x["top_logprobs"][0].is_null());
    EXPECT_EQ(x["top_logprobs"][1].size(), 2u);
  }
}

TEST_F(OpenaiScores, OfAPromptAloneAreWhatMaxTokens0IsFor) {
  start();
  auto prompt = ids("a b");
  auto client = connect();
  client.send(complete(
    {{"prompt", prompt}, {"logprobs", 1}, {"echo", true}, {"max_tokens", 0}}));
  service_.wait_for(1);
  auto event = scored(prompt, 1, 1);
  event.tokens = {7};
  event.scores = {{7, -1}, {8, -2}};
  event.finish = finish_reason::length;
  service_.tell(1, event);
  auto choice = json::parse(client.receive().body)["choices"][0];
  EXPECT_EQ(choice["text"], "a b");
  EXPECT_EQ(choice["logprobs"]["token_logprobs"], (json{nullptr, -1.0}));
}

TEST_F(OpenaiScores, OfPromptsHaveALimit) {
  openai_options options;
  options.limits.max_prompt_scores = 24;
  start(options);
  json asked
    = {{"prompt", ids("a b c d")}, {"n", 2}, {"logprobs", 2}, {"echo", true}};
  auto client = connect();
  client.send(complete(asked));
  service_.wait_for(2);
  asked["logprobs"] = 3;
  auto got = fetch(complete(asked));
  EXPECT_EQ(got.status, 400);
  EXPECT_EQ(json::parse(got.body)["error"]["param"], "logprobs");
  asked["echo"] = false;
  auto other = connect();
  other.send(complete(asked));
  service_.wait_for(4);
}

TEST_F(OpenaiScores, OfAnswersThatAreKeptHaveALimit) {
  openai_options options;
  options.limits.max_held_scores = 24 * 512;
  start(options);
  json asked = {{"n", 2}, {"logprobs", 2}, {"max_tokens", 4}};
  auto client = connect();
  client.send(complete(asked));
  service_.wait_for(2);
  asked["max_tokens"] = 5;
  auto got = fetch(complete(asked));
  EXPECT_EQ(got.status, 400);
  EXPECT_EQ(json::parse(got.body)["error"]["param"], "logprobs");
  EXPECT_EQ(service_.num_requests(), 2u);
  asked["stream"] = true;
  auto other = connect();
  other.send(complete(asked));
  service_.wait_for(4);
}

TEST_F(OpenaiScores, TheTokenThatEndsAnAnswerHasAPlaceInTheList) {
  start();
  auto client = connect();
  client.send(complete({{"logprobs", 0}}));
  service_.wait_for(1);
  generation_event event;
  event.tokens = ids("a");
  event.end_token = form_->eos_id();
  event.scores = {{event.tokens[0], -1}, {form_->eos_id(), -2}};
  event.finish = finish_reason::stop;
  service_.tell(1, event);
  auto choice = json::parse(client.receive().body)["choices"][0];
  EXPECT_EQ(choice["text"], "a");
  EXPECT_EQ(choice["logprobs"]["token_logprobs"], (json{-1.0, -2.0}));
}

TEST_F(OpenaiScores, OfAnAnswerThatAStopStringEndsGoToTheTokenThatEndsIt) {
  start();
  auto client = connect();
  client.send(complete({{"logprobs", 0}, {"stop", "b"}}));
  service_.wait_for(1);
  generation_event event;
  event.tokens = ids("a b c d");
  for (auto id : event.tokens)
    event.scores.push_back({id, -1});
  event.finish = finish_reason::length;
  service_.tell(1, event);
  auto choice = json::parse(client.receive().body)["choices"][0];
  EXPECT_EQ(choice["text"], "a ");
  EXPECT_EQ(choice["logprobs"]["tokens"], (json{"a", " b"}));
}

} // namespace

} // namespace troupe::http
