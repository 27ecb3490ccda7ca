// What models think unasked, and how they are told not to.

#include "tests/unit/runtime/openai_fixture.hpp"

namespace troupe::http {

namespace {

using OpenaiThought = openai_fixture;

TEST_F(OpenaiThought, TellsNoEndOfAThoughtThatItWasNotToHave) {
  start();
  const std::string said = "so 20+14=32\n</think>\n\n24";
  json how = {{"chat_template_kwargs", {{"thinking", false}}}};
  auto client = connect();
  client.send(ask(how));
  service_.wait_for(1);
  service_.play(1, ids(said), finish_reason::stop);
  auto message = json::parse(client.receive().body)["choices"][0]["message"];
  EXPECT_EQ(message["content"], "so 20+14=32\n24");
  how["stream"] = true;
  client.send(ask(how));
  service_.wait_for(2);
  service_.play(2, ids(said), finish_reason::stop);
  std::string told;
  for (const auto& x : events(client.receive().body))
    if (x.is_object())
      told += x["choices"][0]["delta"].value("content", "");
  EXPECT_EQ(told, "so 20+14=32\n24");
  how["stream"] = false;
  how["guided_choice"] = {said};
  client.send(ask(how));
  service_.wait_for(3);
  service_.play(3, ids(said), finish_reason::stop);
  message = json::parse(client.receive().body)["choices"][0]["message"];
  EXPECT_EQ(message["content"], said) << "it has to be this text";
}

// A mark is a token; in others one can speak of it.
TEST_F(OpenaiThought, AMarkThatIsSpeltOutIsText) {
  start();
  const std::string said = "Between <think> and\n</think>\nit thinks.";
  request_id last = 0;
  for (const auto& how : {json{{"chat_template_kwargs", {{"thinking", false}}}},
                          json{{"reasoning_effort", "none"}}}) {
    auto client = connect();
    client.send(ask(how));
    service_.wait_for(++last);
    service_.play(last, tokens_->encode(said, specials::plain),
                  finish_reason::stop);
    auto message = json::parse(client.receive().body)["choices"][0]["message"];
    EXPECT_EQ(message["content"], said) << how;
  }
}

TEST_F(OpenaiThought, WhatHasToBeOrGoesOnMayBeginWithAMark) {
  start();
  const std::string said = "<think>x</think>y";
  json prefix = {{"messages",
                  {{{"role", "user"}, {"content", "hi"}},
                   {{"role", "assistant"}, {"content", "so:"}}}},
                 {"continue_final_message", true}};
  json choice = {{"guided_choice", {said}},
                 {"chat_template_kwargs", {{"thinking", false}}}};
  request_id last = 0;
  for (const auto& how : {prefix, choice}) {
    auto client = connect();
    client.send(ask(how));
    service_.wait_for(++last);
    service_.play(last, ids(said), finish_reason::stop);
    auto message = json::parse(client.receive().body)["choices"][0]["message"];
    EXPECT_EQ(message["content"], said) << how;
  }
}

TEST_F(OpenaiThought, NoEffortTurnsThoughtOffUnlessSomethingElseSaysOtherwise) {
  start();
  const json none = {{"reasoning_effort", "none"}};
  json thinking = none;
  thinking["chat_template_kwargs"] = {{"thinking", true}};
  request_id last = 0;
  for (const auto& [more, thinks] : {std::pair{json::object(), true},
                                     {json{{"reasoning_effort", "low"}}, true},
                                     {none, false},
                                     {thinking, true}}) {
    auto client = connect();
    client.send(ask(more));
    auto said = tokens_->decode(service_.wait_for(++last).prompt);
    EXPECT_EQ(said.ends_with("<think>\n"), thinks) << more;
    service_.play(last, ids("ok"), finish_reason::stop);
    EXPECT_EQ(client.receive().status, 200);
  }
}

} // namespace

} // namespace troupe::http
