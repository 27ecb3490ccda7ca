#include "runtime/text/chat_template.hpp"

#include "tests/model_files.hpp"
#include "tests/unit/runtime/chat_templates.hpp"

#include <nlohmann/json.hpp>

namespace troupe {
namespace {

using namespace test;
using nlohmann::json;

result<chat_shape> recognised(const std::string& text) {
  return recognise_chat_template({text, "tokenizer_config.json", ""});
}

std::string family_of(const std::string& text) {
  auto shape = recognised(text);
  return shape ? shape->name : shape.why().message;
}

std::string replaced(std::string text, const std::string& old,
                     const std::string& by) {
  auto at = text.find(old);
  EXPECT_NE(at, text.npos) << old;
  for (; at != text.npos; at = text.find(old, at + by.size()))
    text.replace(at, old.size(), by);
  return text;
}

struct known_template {
  const char* family;
  const std::string& text;
};

const known_template known[] = {
  {"deepseek-v2", v2},
  {"deepseek-v3", v3},
  {"deepseek-v3-0324", v3_0324},
  {"deepseek-r1", r1},
  {"deepseek-r1-0528", r1_0528},
  {"deepseek-v3.1", v3_1},
  {"kimi-k2", k2},
};

TEST(ChatTemplate, IsKnownByWhatItWrites) {
  for (auto& x : known)
    EXPECT_EQ(family_of(x.text), x.family);
}

TEST(ChatTemplate, MayBeLaidOutInAnyWay) {
  for (auto& x : known) {
    auto lines = replaced(replaced(x.text, "%}{", "%}\n      {"), "}}{",
                          "}}\n\n\t{");
    EXPECT_EQ(family_of(lines), x.family);
    auto wide = replaced(x.text, " + ", "  +\n  ");
    EXPECT_EQ(family_of(wide), x.family);
    EXPECT_EQ(family_of("{# a comment #}\n" + x.text + "\n"), x.family);
    if (x.text.find("message['content']") != x.text.npos) {
      EXPECT_EQ(
        family_of(replaced(x.text, "message['content']", "message.content")),
        x.family);
    }
  }
}

// What is written by its parts alone, but put together in another way.
TEST(ChatTemplate, IsNotTakenForAFamilyWhoseFormIsInAnotherOrder) {
  const std::pair<const std::string&, std::pair<std::string, std::string>>
    changes[]
    = {{v3,
        {"{{ bos_token }}{{ ns.system_prompt }}",
         "{{ ns.system_prompt }}{{ bos_token }}"}},
       {v3, {"== 'assistant'", "!= 'assistant'"}},
       {v3, {"{% if add_generation_prompt", "{% if not add_generation_prompt"}},
       {v3_1, {"{%- if not thinking %}", "{%- if thinking %}"}},
       {v3_1, {"{%- if ns.is_last_user %}", "{%- if ns.is_tool %}"}},
       {r1,
        {"{% if '</think>' in content %}",
         "{% if '</think>' not in content %}"}},
       {v2, {"{{ 'Assistant:' }}", "{{ 'Assistant: ' }}"}},
       {k2, {"!= 'system'", "== 'system'"}},
       {k2, {"message['content'] + '<|im_end|>'", "message['content']"}}};
  for (auto& [text, change] : changes) {
    auto shape = recognised(replaced(text, change.first, change.second));
    EXPECT_FALSE(shape) << change.first << " -> " << change.second;
  }
}

// Each writes something else than its family for a plain conversation.
TEST(ChatTemplate, IsNotTakenForAFamilyThatItDiffersFrom) {
  for (auto& x : known) {
    const std::pair<std::string, std::string> changes[] = {
      {"message['content']", "message['content'].strip()"},
      {"message['content']", "(message['content'] | trim)"},
      {"message['content']", "message['content'] + ' '"},
      {"message['content']", "message['text_of_it']"},
      {"{%- for message in messages", "{{ 'You are kind.' }}"
                                      "{%- for message in messages"},
      {"{% for message in messages", "Today is {{ strftime_now('%d') }}."
                                     "{% for message in messages"},
      {"in messages", "in messages[1:]"},
      {"'user'", "'human'"},
      {"User｜>'", "User｜>\\n'"},
      {"User: ", "Human: "},
      {"<｜User｜>", "<｜Human｜>"},
      {"<|im_user|>", "<|im_human|>"},
      {"{% if add_generation_prompt", "{% if date_string %}{% endif %}"
                                      "{% if add_generation_prompt"},
      {"<｜end▁of▁sentence｜>'", "<｜end▁of▁sentence｜>\\n'"},
      {"Assistant｜>", "Assistant｜> "},
      {"message['content']}}", "message['content']}}{{ eos_token }}"},
    };
    for (auto& [old, by] : changes)
      if (x.text.find(old) != x.text.npos) {
        EXPECT_FALSE(recognised(replaced(x.text, old, by)))
          << x.family << ": " << old << " -> " << by;
      }
  }
}

TEST(ChatTemplate, IsRefusedWithWhatStandsAgainstIt) {
  auto foreign = recognised(
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' "
    "+ message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}");
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.why().message,
            "the chat template in tokenizer_config.json is none of the forms "
            "that are known ("
              + chat_families() + "): it writes the marks of none of them");
  auto thinks = replaced(v3, "<｜Assistant｜>' + content",
                         "<｜Assistant｜>' + 'I' + content");
  EXPECT_NE(family_of(thinks).find("it looks like deepseek-v3 but writes \""),
            std::string::npos)
    << family_of(thinks);
  EXPECT_EQ(recognised("").why().message, "the model has no chat template");
}

TEST(ChatTemplate, MayBeAnythingWithoutHarm) {
  for (auto text : {"{{",
                    "{%",
                    "{#",
                    "{{ '",
                    "{{ 'a\\",
                    "{% if %}",
                    "{% set %}",
                    "{% set = %}",
                    "{% set x = %}",
                    "{{ x[ }}",
                    "{{ ((((( }}",
                    "{{ ) }}",
                    "{% endif %}{% endfor %}{% else %}",
                    "{{ a.b.c['d'](e)|f }}",
                    "{{.}}",
                    "{{|}}",
                    "{{[}}",
                    "{% for %}",
                    "{% macro %}",
                    "\x01",
                    "{{ -1 }}",
                    "{% set a, b = 'c' %}",
                    "{{ split }}",
                    "{{ x.split('</think>' }}"})
    EXPECT_FALSE(recognised(text)) << text;
  EXPECT_FALSE(recognised(std::string(2 << 20, 'x')));
  auto deep = std::string(10'000, '(') + "a" + std::string(10'000, ')');
  EXPECT_FALSE(recognised("{{" + deep + "}}"));
  for (size_t size = 0; size < v3_1.size(); size += 7)
    recognised(v3_1.substr(0, size)).operator bool();
}

TEST(ChatTemplate, SaysWhetherItThinksUnlessTold) {
  EXPECT_FALSE(recognised(v3_1)->thinks);
  EXPECT_EQ(recognised(v3_1)->switches, std::vector<std::string>{"thinking"});
  EXPECT_TRUE(
    recognised(replaced(v3_1, "thinking = false", "thinking = true"))->thinks);
  EXPECT_TRUE(recognised(r1)->thinks);
  EXPECT_TRUE(recognised(r1)->switches.empty());
  EXPECT_FALSE(recognised(v3)->thinks);
  auto with_default = [&](const std::string& value) {
    return recognised(
      replaced(r1, "'<｜Assistant｜><think>\\n'",
               "'<｜Assistant｜>' + ('<think>\\n' if thinking | default("
                 + value + ") else '')"));
  };
  EXPECT_TRUE(with_default("true")->thinks);
  EXPECT_FALSE(with_default("false")->thinks);
  EXPECT_FALSE(recognised(
    replaced(v3_1, "{%- if not thinking %}", "{%- if thinking == 'off' %}")));
}

TEST(ChatTemplate, SaysWhetherTheModelAnswersOnlyTheUser) {
  EXPECT_TRUE(recognised(v3_1)->prompts_user_only);
  auto later = recognised(
    replaced(v3_1, "{%- if add_generation_prompt and ns.is_last_user %}",
             "{%- if add_generation_prompt and not ns.is_tool %}"));
  ASSERT_TRUE(later) << later.why().message;
  EXPECT_FALSE(later->prompts_user_only);
}

TEST(ChatTemplate, ReadsTheSystemMessageOfItsOwn) {
  EXPECT_EQ(recognised(k2)->default_system, "You are a helpful assistant");
  EXPECT_EQ(
    recognised(replaced(k2, "You are a helpful", "I am no"))->default_system,
    "I am no assistant");
}

TEST(ChatTemplate, LeavesOutWhatOnlyDeclaresTools) {
  auto tools = "{% if tools is defined and tools is not none %}{{ 'You may "
               "call ' + (tools | tojson) }}{% for tool in tools %}"
               "{% if tool.x > 3 %}{{ tool.y | upper }}{% endif %}"
               "{% endfor %}{% endif %}";
  EXPECT_EQ(family_of(replaced(v3_1, "{{ bos_token }}",
                               std::string{tools} + "{{ bos_token }}")),
            "deepseek-v3.1");
  EXPECT_FALSE(recognised("{% if not tools %}{{ 'None.' }}{% endif %}" + v3));
}

class ChatTemplateFile : public testing::Test {
protected:
  void write(const char* name, const std::string& text) const {
    write_text(dir_ / name, text);
  }

  std::string source() const {
    auto x = find_chat_template(dir_);
    return x ? x->source + (x->text.empty() ? " without" : "")
             : x.why().message;
  }

  std::filesystem::path dir_ = scratch_dir();
};

TEST_F(ChatTemplateFile, LiesBesideTheConfigurationOrInIt) {
  EXPECT_EQ(source(), " without");
  json config = {{"bos_token", "a"}, {"eos_token", "b"}};
  write("tokenizer_config.json", config.dump());
  EXPECT_EQ(source(), "tokenizer_config.json without");
  config["chat_template"] = v2;
  write("tokenizer_config.json", config.dump());
  EXPECT_EQ(source(), "tokenizer_config.json");
  write("chat_template.json", json{{"chat_template", v3}}.dump());
  EXPECT_EQ(source(), "chat_template.json");
  EXPECT_EQ(find_chat_template(dir_)->text, v3);
  write("chat_template.jinja", v3_1);
  EXPECT_EQ(source(), "chat_template.jinja");
  EXPECT_EQ(find_chat_template(dir_)->text, v3_1);
}

TEST_F(ChatTemplateFile, MeansTheDefaultOfSeveral) {
  json config = {{"bos_token", "a"},
                 {"eos_token", "b"},
                 {"chat_template",
                  {{{"name", "tool_use"}, {"template", v3}},
                   {{"name", "default"}, {"template", v2}}}}};
  write("tokenizer_config.json", config.dump());
  EXPECT_EQ(find_chat_template(dir_)->text, v2);
  config["chat_template"].erase(1);
  write("tokenizer_config.json", config.dump());
  auto none = find_chat_template(dir_);
  ASSERT_TRUE(none);
  EXPECT_EQ(recognise_chat_template(*none).why().message,
            "none of the model's chat templates is named default");
}

TEST_F(ChatTemplateFile, IsRefusedWhereItIsNoJson) {
  for (auto text : {"", "[]", "{}", R"({"chat_template": 1})",
                    R"({"chat_template": "a", "chat_template": "b"})"}) {
    write("chat_template.json", text);
    EXPECT_FALSE(find_chat_template(dir_)) << text;
  }
}

} // namespace
} // namespace troupe
