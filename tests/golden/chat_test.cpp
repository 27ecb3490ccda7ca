/// Prompts and their ids against the template and Hugging Face tokenizers.

#include "tests/golden/tokenizer_data.hpp"

#include "runtime/text/chat.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr auto config = R"({"bos_token": "<｜begin▁of▁sentence｜>",
                            "eos_token": {"content": "<｜end▁of▁sentence｜>"}})";

class Chat : public testing::TestWithParam<const char*> {};

chat_role role_of(const std::string& name) {
  if (name == "system")
    return chat_role::system;
  if (name == "user")
    return chat_role::user;
  return name == "tool" ? chat_role::tool : chat_role::assistant;
}

std::vector<chat_message> messages_of(const nlohmann::json& list) {
  std::vector<chat_message> messages;
  for (auto& x : list) {
    chat_message message{role_of(x["role"]), {}, {}};
    if (x["content"].is_string())
      message.content = x["content"];
    for (auto& call : x.value("tool_calls", nlohmann::json::array()))
      message.tool_calls.push_back({call["type"], call["function"]["name"],
                                    call["function"]["arguments"]});
    messages.push_back(std::move(message));
  }
  return messages;
}

} // namespace

TEST_P(Chat, GivesTheGoldenPromptsAndIds) {
  auto& tokens = tokenizer_named(GetParam());
  auto form = chat_form::parse(config, tokens);
  ASSERT_TRUE(form) << form.why().message;
  auto lines = tokenizer_lines("chat.jsonl");
  ASSERT_EQ(lines.size(), 75u);
  for (auto& line : lines) {
    chat_options options{line["add_generation_prompt"], line["thinking"]};
    auto prompt = form->render(messages_of(line["messages"]), options, tokens);
    ASSERT_TRUE(prompt) << prompt.why().message;
    EXPECT_EQ(prompt->text, line["prompt"]);
    EXPECT_EQ(prompt->ids, line[GetParam()].get<std::vector<int32_t>>())
      << line["prompt"];
    EXPECT_EQ(prompt->in_thought, prompt->text.ends_with("<think>\n")
                                    && options.add_generation_prompt);
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, Chat, testing::Values("nano", "deepseek"),
                         [](auto& info) { return std::string{info.param}; });

TEST(ChatForm, TheNanoModelThinks) {
  auto form = chat_form::load(source_dir() / "examples/nano/model",
                              tokenizer_named("nano"));
  ASSERT_TRUE(form) << form.why().message;
  EXPECT_TRUE(form->thinks_by_default());
  EXPECT_EQ(form->bos_id(), 0);
  EXPECT_EQ(form->eos_id(), 1);
}
