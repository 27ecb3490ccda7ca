// Answers that begin with what the last message says.

#include "tests/unit/runtime/chat_templates.hpp"
#include "tests/unit/runtime/openai_fixture.hpp"

namespace troupe::http {

namespace {

class OpenaiContinue : public openai_fixture {
protected:
  static json conversation(json last) {
    return {{{"role", "user"}, {"content", "hi"}}, std::move(last)};
  }

  static json prefix(const std::string& content) {
    return {{"role", "assistant"}, {"content", content}, {"prefix", true}};
  }

  /// Of the `id`-th request, as text.
  std::string prompt_of(const json& asked, request_id id) {
    clients_.push_back(connect());
    clients_.back().send(ask(asked));
    return tokens_->decode(service_.wait_for(id).prompt);
  }

  std::vector<test::http_client> clients_; ///< Who leaves is cancelled.
};

const std::string begin = "<｜begin▁of▁sentence｜><｜User｜>hi<｜Assistant｜>";

TEST_F(OpenaiContinue, GoOnFromThePrefixInEitherWayToSaySo) {
  start();
  EXPECT_EQ(prompt_of({{"messages", conversation(prefix("Paris is"))}}, 1),
            begin + "Paris is");
  json plain = {{"role", "assistant"}, {"content", "Paris is"}};
  EXPECT_EQ(prompt_of({{"messages", conversation(plain)},
                       {"continue_final_message", true},
                       {"add_generation_prompt", false}},
                      2),
            begin + "Paris is");
  EXPECT_EQ(
    prompt_of(
      {{"messages", conversation(plain)}, {"continue_final_message", true}}, 3),
    begin + "Paris is");
  // Where a thought ends is for who began it to see.
  service_.play(3, ids(" a </think>\n city"), finish_reason::stop);
  auto message
    = json::parse(clients_[2].receive().body)["choices"][0]["message"];
  EXPECT_EQ(message["content"], " a </think>\n city");
  EXPECT_FALSE(message.contains("reasoning_content"));
}

TEST_F(OpenaiContinue, GoOnFromAThought) {
  start();
  json thought = {{"role", "assistant"},
                  {"reasoning_content", "It is"},
                  {"content", ""},
                  {"prefix", true}};
  EXPECT_EQ(prompt_of({{"messages", conversation(thought)}}, 1),
            begin + "<think>\nIt is");
  service_.play(1, ids(" so</think>yes"), finish_reason::stop);
  auto message
    = json::parse(clients_[0].receive().body)["choices"][0]["message"];
  EXPECT_EQ(message["reasoning_content"], " so");
  EXPECT_EQ(message["content"], "yes");
  thought["content"] = "Yes,";
  EXPECT_EQ(prompt_of({{"messages", conversation(thought)}}, 2),
            begin + "<think>\nIt is</think>Yes,");
}

TEST_F(OpenaiContinue, AreWrittenInTheFormOfTheTemplate) {
  use_template(test::v3_1);
  start();
  EXPECT_EQ(prompt_of({{"messages", conversation(prefix("Yes,"))}}, 1),
            begin + "</think>Yes,");
  EXPECT_EQ(prompt_of({{"messages", conversation(prefix("a</think>b"))}}, 2),
            begin + "</think>a</think>b")
    << "nothing is dropped";
}

TEST_F(OpenaiContinue, NeedAPrefixThatIsOne) {
  start();
  json user = {{"role", "user"}, {"content", "a"}};
  json early = {prefix("a"), user};
  json call = {{"function", {{"name", "f"}, {"arguments", "{}"}}}};
  auto calling = prefix("a");
  calling["tool_calls"] = json::array({call});
  const json bad[] = {
    {{"messages", early}},
    {{"messages", {user}}, {"continue_final_message", true}},
    {{"messages", conversation(prefix(""))}},
    {{"messages", conversation(calling)}},
    {{"messages", conversation(prefix("a"))}, {"add_generation_prompt", true}},
    {{"messages",
      conversation({{"role", "user"}, {"content", "b"}, {"prefix", true}})}}};
  for (auto& x : bad)
    EXPECT_EQ(fetch(ask(x)).status, 400) << x;
  EXPECT_EQ(service_.num_requests(), 0u);
}

TEST_F(OpenaiContinue, MayAlsoBeLeftToTheModelAltogether) {
  start();
  EXPECT_EQ(prompt_of({{"add_generation_prompt", false}}, 1),
            "<｜begin▁of▁sentence｜><｜User｜>hi");
}

TEST_F(OpenaiContinue, ThoughtIsTurnedOnAndOffAsDeepSeekDoesToo) {
  use_template(test::v3_1);
  start();
  EXPECT_EQ(prompt_of({{"thinking", {{"type", "enabled"}}}}, 1),
            begin + "<think>");
  EXPECT_EQ(prompt_of({{"thinking", {{"type", "disabled"}}}}, 2),
            begin + "</think>");
  for (auto& bad : {json{{"type", "maybe"}}, json::object(), json(true)}) {
    auto got = fetch(ask({{"thinking", bad}}));
    EXPECT_EQ(got.status, 400) << bad;
    EXPECT_TRUE(
      json::parse(got.body)["error"]["param"].get<std::string>().starts_with(
        "thinking"));
  }
  TearDown();
  use_template(test::v3);
  start();
  EXPECT_EQ(fetch(ask({{"thinking", {{"type", "enabled"}}}})).status, 400);
}

} // namespace

} // namespace troupe::http
