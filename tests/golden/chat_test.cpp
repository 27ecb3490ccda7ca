/// Prompts and their ids against the templates and Hugging Face tokenizers.

#include "tests/golden/tokenizer_data.hpp"

#include "runtime/text/chat.hpp"
#include "tests/unit/runtime/chat_templates.hpp"

#include <sstream>

using namespace troupe;
using namespace troupe::test;

namespace {

using nlohmann::json;

class Chat : public testing::TestWithParam<const char*> {};

std::string content_of(const std::filesystem::path& path) {
  std::ostringstream out;
  out << std::ifstream{path}.rdbuf();
  return out.str();
}

std::string config_with(const std::string& chat_template) {
  return json{{"bos_token", "<｜begin▁of▁sentence｜>"},
              {"eos_token", {{"content", "<｜end▁of▁sentence｜>"}}},
              {"chat_template", chat_template}}
    .dump();
}

chat_role role_of(const std::string& name) {
  if (name == "system")
    return chat_role::system;
  if (name == "user")
    return chat_role::user;
  return name == "tool" ? chat_role::tool : chat_role::assistant;
}

std::vector<chat_message> messages_of(const json& list) {
  std::vector<chat_message> messages;
  for (auto& x : list) {
    chat_message message{role_of(x["role"]), {}, {}};
    if (x["content"].is_string())
      message.content = x["content"];
    for (auto& call : x.value("tool_calls", json::array()))
      message.tool_calls.push_back({call["type"], call["function"]["name"],
                                    call["function"]["arguments"]});
    messages.push_back(std::move(message));
  }
  return messages;
}

/// What declares tools, which a form leaves to those who can call them.
std::string without_declarations(std::string prompt) {
  auto begin = prompt.find("\n\n## Tools\n");
  constexpr std::string_view last = "without separators or spaces\n";
  auto end = prompt.find(last);
  if (begin == prompt.npos || end == prompt.npos)
    return prompt;
  return prompt.erase(begin, end + last.size() - begin);
}

/// The nano model's tokenizer with the tokens of Kimi-K2's form.
const tokenizer& kimi_tokenizer() {
  static const tokenizer kimi = [] {
    auto path = source_dir() / "examples/nano/model/tokenizer.json";
    auto text = content_of(path);
    const std::pair<std::string, std::string> names[]
      = {{"<｜User｜>", "<|im_user|>"},
         {"<｜Assistant｜>", "<|im_assistant|>"},
         {"<think>", "<|im_middle|>"},
         {"</think>", "<|im_end|>"},
         {"<｜tool▁sep｜>", "<|im_system|>"}};
    for (auto& [old, name] : names)
      for (auto at = text.find(old); at != text.npos; at = text.find(old))
        text.replace(at, old.size(), name);
    return checked(tokenizer::parse(text));
  }();
  return kimi;
}

chat_form checked(result<chat_form> x) {
  if (!x)
    ADD_FAILURE() << x.why().message;
  EXPECT_EQ(x->trouble(), "");
  return std::move(*x);
}

/// Each id belongs to one segment.
void check_segments(const chat_prompt& prompt) {
  size_t end = 0;
  for (auto& x : prompt.segments) {
    EXPECT_GT(x.length, 0u);
    end += x.length;
  }
  EXPECT_EQ(end, prompt.ids.size());
}

} // namespace

TEST_P(Chat, GivesTheGoldenPromptsAndIds) {
  auto& tokens = tokenizer_named(GetParam());
  auto text
    = content_of(source_dir() / "tests/data/tokenizer/chat_template.jinja");
  auto recognised = checked(chat_form::parse(config_with(text), tokens));
  auto chosen
    = checked(chat_form::parse(config_with(""), tokens, "deepseek-r1"));
  auto lines = tokenizer_lines("chat.jsonl");
  ASSERT_EQ(lines.size(), 75u);
  for (auto& line : lines)
    for (auto* form : {&recognised, &chosen}) {
      chat_options options{line["add_generation_prompt"],
                           line["thinking"].get<bool>()};
      auto prompt = form->render(messages_of(line["messages"]), options,
                                 tokens);
      ASSERT_TRUE(prompt) << prompt.why().message;
      EXPECT_EQ(prompt->text, line["prompt"]);
      EXPECT_EQ(prompt->ids, line[GetParam()].get<std::vector<int32_t>>())
        << line["prompt"];
      EXPECT_EQ(prompt->in_thought, prompt->text.ends_with("<think>\n")
                                      && options.add_generation_prompt);
      check_segments(*prompt);
    }
}

INSTANTIATE_TEST_SUITE_P(Golden, Chat, testing::Values("nano", "deepseek"),
                         [](auto& info) { return std::string{info.param}; });

TEST(ChatForm, V31GivesTheGoldenPrompts) {
  auto& tokens = tokenizer_named("deepseek");
  auto recognised = checked(chat_form::parse(config_with(v3_1), tokens));
  auto chosen
    = checked(chat_form::parse(config_with(v3), tokens, "deepseek-v3.1"));
  int seen = 0;
  for (auto& line : tokenizer_lines("chat-forms.jsonl")) {
    if (line["form"] != "deepseek-v3.1")
      continue;
    auto expected = without_declarations(line["prompt"]);
    for (auto* form : {&recognised, &chosen}) {
      chat_options options{line["add_generation_prompt"],
                           line["thinking"].get<bool>()};
      auto prompt = form->render(messages_of(line["messages"]), options,
                                 tokens);
      ASSERT_TRUE(prompt) << prompt.why().message;
      EXPECT_EQ(prompt->text, expected);
      EXPECT_EQ(prompt->ids, tokens.encode(expected, specials::recognised));
      EXPECT_EQ(prompt->in_thought, expected.ends_with("<think>"));
      check_segments(*prompt);
    }
    ++seen;
  }
  EXPECT_EQ(seen, 48);
}

TEST(ChatForm, KimiK2GivesTheGoldenPrompts) {
  auto& tokens = kimi_tokenizer();
  auto recognised = checked(chat_form::parse(config_with(k2), tokens));
  auto chosen = checked(chat_form::parse(config_with(v3), tokens, "kimi-k2"));
  int seen = 0;
  for (auto& line : tokenizer_lines("chat-forms.jsonl")) {
    if (line["form"] != "kimi-k2")
      continue;
    for (auto* form : {&recognised, &chosen}) {
      chat_options options{line["add_generation_prompt"], {}};
      auto prompt = form->render(messages_of(line["messages"]), options,
                                 tokens);
      ASSERT_TRUE(prompt) << prompt.why().message;
      EXPECT_EQ(prompt->text, line["prompt"]);
      EXPECT_EQ(tokens.decode(prompt->ids), line["prompt"]);
      EXPECT_FALSE(prompt->in_thought);
      check_segments(*prompt);
    }
    ++seen;
  }
  EXPECT_EQ(seen, 32);
}

TEST(ChatForm, EveryFamilyGivesWhatItsPublishedTemplateDoes) {
  auto& tokens = tokenizer_named("deepseek");
  const std::pair<std::string, const std::string&> families[]
    = {{"deepseek-v2", v2},
       {"deepseek-v3", v3},
       {"deepseek-v3-0324", v3_0324},
       {"deepseek-r1", r1},
       {"deepseek-r1-0528", r1_0528}};
  auto lines = tokenizer_lines("chat-families.jsonl");
  ASSERT_EQ(lines.size(), 100u);
  for (auto& [family, text] : families) {
    auto recognised = checked(chat_form::parse(config_with(text), tokens));
    auto chosen = checked(chat_form::parse(config_with(""), tokens, family));
    for (auto& line : lines)
      for (auto* form : {&recognised, &chosen}) {
        if (line["form"] != family)
          continue;
        chat_options options{line["add_generation_prompt"], {}};
        auto prompt = form->render(messages_of(line["messages"]), options,
                                   tokens);
        ASSERT_TRUE(prompt) << prompt.why().message;
        EXPECT_EQ(prompt->text, line["prompt"]) << family;
        EXPECT_EQ(prompt->text, tokens.decode(prompt->ids));
        check_segments(*prompt);
      }
  }
}

TEST(ChatForm, TheNanoModelThinks) {
  auto form = checked(chat_form::load(source_dir() / "examples/nano/model",
                                      tokenizer_named("nano")));
  EXPECT_EQ(form.describe(), "deepseek-r1, thinks unless told not to "
                             "(tokenizer_config.json)");
  EXPECT_TRUE(form.thinks_by_default());
  EXPECT_EQ(form.bos_id(), 0);
  EXPECT_EQ(form.eos_id(), 1);
}

TEST(ChatForm, KnowsWhoWroteWhat) {
  auto& tokens = tokenizer_named("nano");
  auto form = checked(chat_form::parse(config_with(v3_1), tokens));
  std::vector<chat_message> chat
    = {{chat_role::system, "Be brief.", {}},     {chat_role::user, "a", {}},
       {chat_role::assistant, "b", {}},          {chat_role::user, "c", {}},
       {chat_role::assistant, "x</think>d", {}}, {chat_role::user, "e", {}}};
  auto prompt = form.render(chat, {}, tokens);
  ASSERT_TRUE(prompt) << prompt.why().message;
  std::vector<std::pair<bool, std::string>> parts;
  std::span rest{prompt->ids};
  for (auto& x : prompt->segments) {
    parts.emplace_back(x.author == segment_author::generated,
                       tokens.decode(rest.first(x.length)));
    rest = rest.subspan(x.length);
  }
  const std::vector<std::pair<bool, std::string>> expected
    = {{false, "<｜begin▁of▁sentence｜>Be brief."},
       {false, "<｜User｜>a"},
       {true, "<｜Assistant｜></think>b<｜end▁of▁sentence｜>"},
       {false, "<｜User｜>c"},
       {false, "<｜Assistant｜></think>d<｜end▁of▁sentence｜>"},
       {false, "<｜User｜>e"},
       {true, "<｜Assistant｜></think>"}};
  EXPECT_EQ(parts, expected);
}

TEST(ChatForm, RefusesWhatItCannotWriteInASentence) {
  auto& tokens = tokenizer_named("nano");
  std::vector<chat_message> user = {{chat_role::user, "a", {}}};
  auto unknown = chat_form::parse(config_with("{{ messages[0].content }}"),
                                  tokens);
  ASSERT_TRUE(unknown) << unknown.why().message;
  EXPECT_NE(unknown->trouble(), "");
  auto refused = unknown->render(user, {}, tokens);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.why().message.find("--chat-template"), std::string::npos);
  auto lacking = chat_form::parse(config_with(k2), tokens);
  ASSERT_TRUE(lacking);
  EXPECT_EQ(lacking->trouble(), "the tokenizer has no token <|im_system|>, "
                                "which the chat template kimi-k2 writes");
  auto none = chat_form::parse(config_with(v2), tokens, "chatml");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.why().message,
            "there is no chat template chatml; there are " + chat_families());
  auto plain = checked(chat_form::parse(config_with(v2), tokens));
  EXPECT_FALSE(plain.render(user, {true, true}, tokens));
  EXPECT_TRUE(plain.render(user, {true, false}, tokens));
  user.push_back({chat_role::tool, "7", {}});
  EXPECT_EQ(plain.render(user, {}, tokens).why().message,
            "this model's chat template (deepseek-v2) has no form for tool "
            "calls and their outputs that is known here");
}
