// Tools in DeepSeek's form over HTTP: what the model is told of them, and its
// calls.

#include "tests/unit/runtime/chat_templates.hpp"
#include "tests/unit/runtime/openai_fixture.hpp"

namespace troupe::http {

namespace {

class OpenaiTools : public openai_fixture {
protected:
  static json tool(const std::string& name) {
    return {{"type", "function"},
            {"function",
             {{"name", name},
              {"description", "Adds."},
              {"parameters", {{"type", "object"}, {"properties", {}}}}}}};
  }

  static json with_tools(json more = json::object()) {
    json out = {{"tools", {tool("add"), tool("now")}}};
    out.update(more);
    return out;
  }

  std::string prompt_of(const json& asked, request_id id) {
    clients_.push_back(connect());
    clients_.back().send(ask(asked));
    return tokens_->decode(service_.wait_for(id).prompt);
  }

  std::vector<test::http_client> clients_; ///< Who leaves is cancelled.
};

const std::string fenced_calls
  = "</think>Well<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function"
    "<｜tool▁sep｜>add\n```json\n{\"a\": 1}\n```<｜tool▁call▁end｜>\n"
    "<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```"
    "<｜tool▁call▁end｜><｜tool▁calls▁end｜>";

TEST_F(OpenaiTools, AreCalled) {
  start();
  auto client = connect();
  client.send(ask(with_tools()));
  service_.wait_for(1);
  service_.play(1, ids(fenced_calls), finish_reason::stop);
  auto choice = json::parse(client.receive().body)["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  auto message = choice["message"];
  EXPECT_EQ(message["content"], "Well");
  ASSERT_EQ(message["tool_calls"].size(), 2u);
  auto call = message["tool_calls"][0];
  EXPECT_EQ(call["type"], "function");
  EXPECT_EQ(call["function"]["name"], "add");
  EXPECT_EQ(call["function"]["arguments"], "{\"a\": 1}");
  EXPECT_NE(call["id"], message["tool_calls"][1]["id"]);
  EXPECT_EQ(message["tool_calls"][1]["function"]["arguments"], "{}");
}

TEST_F(OpenaiTools, AreCalledPieceByPiece) {
  start();
  auto client = connect();
  client.send(ask(with_tools({{"stream", true}})));
  service_.wait_for(1);
  service_.play(1, ids(fenced_calls), finish_reason::stop);
  std::vector<std::pair<std::string, std::string>> calls;
  std::string content, finish;
  for (const auto& x : events(client.receive().body)) {
    if (!x.is_object())
      continue;
    const auto& choice = x["choices"][0];
    content += choice["delta"].value("content", "");
    if (choice["finish_reason"].is_string())
      finish = choice["finish_reason"];
    for (const auto& call :
         choice["delta"].value("tool_calls", json::array())) {
      if (call.contains("id"))
        calls.emplace_back(call["function"]["name"], "");
      EXPECT_EQ(call["index"], calls.size() - 1);
      calls.back().second += call["function"]["arguments"];
    }
  }
  EXPECT_EQ(content, "Well");
  EXPECT_EQ(finish, "tool_calls");
  EXPECT_EQ(calls, (std::vector<std::pair<std::string, std::string>>{
                     {"add", "{\"a\": 1}"}, {"now", "{}"}}));
}

TEST_F(OpenaiTools, LeaveNoMarkOfAThoughtBehindTheirOutput) {
  start();
  auto client = connect();
  json call = {{"id", "a"},
               {"type", "function"},
               {"function", {{"name", "add"}, {"arguments", "{}"}}}};
  client.send(ask(
    with_tools({{"messages",
                 {{{"role", "user"}, {"content", "2 + 2?"}},
                  {{"role", "assistant"}, {"tool_calls", {call}}},
                  {{"role", "tool"}, {"tool_call_id", "a"}, {"content", "4"}}}},
                {"stream", true}})));
  service_.wait_for(1);
  service_.play(1, ids("so 4\n</think>\n\nIt is 4."), finish_reason::stop);
  std::string content;
  for (const auto& x : events(client.receive().body))
    if (x.is_object())
      content += x["choices"][0]["delta"].value("content", "");
  EXPECT_EQ(content, "so 4\nIt is 4.");
}

TEST_F(OpenaiTools, MayBeGivenAMarkOfAThoughtBehindAnOutput) {
  start();
  auto client = connect();
  json call = {{"id", "a"},
               {"type", "function"},
               {"function", {{"name", "add"}, {"arguments", "{}"}}}};
  client.send(ask(with_tools(
    {{"messages",
      {{{"role", "user"}, {"content", "2 + 2?"}},
       {{"role", "assistant"}, {"tool_calls", {call}}},
       {{"role", "tool"}, {"tool_call_id", "a"}, {"content", "4"}}}}})));
  service_.wait_for(1);
  service_.play(1,
                ids("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function"
                    "<｜tool▁sep｜>add\n```json\n{\"a\": \"\n</think>\n\"}\n"
                    "```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"),
                finish_reason::stop);
  auto message = json::parse(client.receive().body)["choices"][0]["message"];
  EXPECT_EQ(message["tool_calls"][0]["function"]["arguments"],
            "{\"a\": \"\n</think>\n\"}");
}

TEST_F(OpenaiTools, HaveTheirOutputsInTheOrderOfTheirCalls) {
  start();
  auto call = [](const char* id) {
    return json{{"id", id},
                {"type", "function"},
                {"function", {{"name", "add"}, {"arguments", "{}"}}}};
  };
  auto output = [](const char* id, const char* text) {
    return json{{"role", "tool"}, {"tool_call_id", id}, {"content", text}};
  };
  auto asked = [&](const json& first, const json& second) {
    return with_tools(
      {{"messages",
        {{{"role", "user"}, {"content", "?"}},
         {{"role", "assistant"}, {"tool_calls", {call("a"), call("b")}}},
         first,
         second}}});
  };
  auto in_order = prompt_of(asked(output("a", "7001"), output("b", "7002")), 1);
  EXPECT_LT(in_order.find("7001"), in_order.find("7002"));
  EXPECT_EQ(prompt_of(asked(output("b", "7002"), output("a", "7001")), 2),
            in_order);
  auto got = fetch(ask(asked(output("a", "7001"), output("c", "7002"))));
  EXPECT_EQ(got.status, 400);
  EXPECT_EQ(json::parse(got.body)["error"]["param"], "messages");
  // Some clients name none: then the order is theirs.
  json bare = {{"role", "tool"}, {"content", "7002"}};
  auto as_said = prompt_of(asked(bare, output("a", "7001")), 3);
  EXPECT_LT(as_said.find("7002"), as_said.find("7001"));
}

TEST_F(OpenaiTools, HaveBeforeThemWhatMayHaveBegunAStop) {
  start();
  auto client = connect();
  client.send(ask(with_tools({{"stop", {"\nUser"}}, {"stream", true}})));
  service_.wait_for(1);
  service_.play(1,
                ids("</think>Well\n<｜tool▁calls▁begin｜>"
                    "<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n"
                    "{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"),
                finish_reason::stop);
  std::string content;
  for (const auto& x : events(client.receive().body)) {
    if (!x.is_object() || x["choices"].empty())
      continue;
    const auto& delta = x["choices"][0]["delta"];
    if (delta.contains("content") && delta["content"].is_string())
      content += delta["content"];
    if (delta.contains("tool_calls"))
      break;
  }
  EXPECT_EQ(content, "Well\n");
}

TEST_F(OpenaiTools, AreToldToTheModelInTheOrderOfTheirMembers) {
  start();
  auto prompt
    = prompt_of(with_tools({{"messages",
                             {{{"role", "system"}, {"content", "Be brief."}},
                              {{"role", "user"}, {"content", "hi"}}}}}),
                1);
  EXPECT_TRUE(
    prompt.starts_with("<｜begin▁of▁sentence｜>Be brief.\n\n## Tools"))
    << prompt;
  EXPECT_TRUE(prompt.ends_with("<｜User｜>hi<｜Assistant｜><think>\n"));
  auto client = connect();
  client.send(
    post("/v1/chat/completions",
         R"({"model":"nano","messages":[{"role":"user","content":"hi"}],)"
         R"("tools":[{"type":"function","function":{"name":"f","parameters":)"
         R"({"type":"object","a":[1,{"z":1,"b":null}]}}}]})"));
  prompt = tokens_->decode(service_.wait_for(2).prompt);
  std::string shown
    = R"({"type": "function", "function": {"name": "f", "parameters": )"
      R"({"type": "object", "a": [1, {"z": 1, "b": null}]}}})";
  EXPECT_NE(prompt.find(shown), prompt.npos) << prompt;
}

TEST_F(OpenaiTools, AreToldAsTheModelCardOfV31Does) {
  use_template(test::v3_1);
  start();
  EXPECT_EQ(
    prompt_of({{"tools", {tool("add")}}}, 1),
    "<｜begin▁of▁sentence｜>\n\n## Tools\nYou have access to the following "
    "tools:\n\n### add\nDescription: Adds.\n\nParameters: {\"properties\": "
    "null, \"type\": \"object\"}\n\nIMPORTANT: ALWAYS adhere to this exact "
    "format for tool use:\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>"
    "tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>"
    "{additional_tool_calls}<｜tool▁calls▁end｜>\n\nWhere:\n- `tool_call_name` "
    "must be an exact match to one of the available tools\n- "
    "`tool_call_arguments` must be valid JSON that strictly follows the tool's "
    "Parameters Schema\n- For multiple tool calls, chain them directly without "
    "separators or spaces\n<｜User｜>hi<｜Assistant｜></think>");
}

TEST_F(OpenaiTools, AreNotThereIfNoneMayBeCalled) {
  start();
  auto plain = prompt_of(json::object(), 1);
  EXPECT_EQ(prompt_of(with_tools({{"tool_choice", "none"}}), 2), plain);
  service_.play(2, ids(fenced_calls), finish_reason::stop);
  auto choice = json::parse(clients_[1].receive().body)["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_FALSE(choice["message"].contains("tool_calls"));
}

TEST_F(OpenaiTools, AreCalledByTheNameThatIsAskedFor) {
  start();
  json named = {{"type", "function"}, {"function", {{"name", "now"}}}};
  const json choices[]
    = {with_tools({{"tool_choice", named}}),
       {{"tools", {tool("now")}}, {"tool_choice", "required"}}};
  request_id id = 0;
  for (auto& asked : choices) {
    auto prompt = prompt_of(asked, ++id);
    EXPECT_TRUE(prompt.ends_with(
      "<｜Assistant｜><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function"
      "<｜tool▁sep｜>now\n```json\n"))
      << prompt;
    service_.play(id, ids("{}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>"),
                  finish_reason::length);
    auto choice = json::parse(clients_.back().receive().body)["choices"][0];
    EXPECT_EQ(choice["finish_reason"], "tool_calls");
    EXPECT_TRUE(choice["message"]["content"].is_null());
    ASSERT_EQ(choice["message"]["tool_calls"].size(), 1u);
    auto function = choice["message"]["tool_calls"][0]["function"];
    EXPECT_EQ(function, (json{{"name", "now"}, {"arguments", "{}"}}));
  }
}

TEST_F(OpenaiTools, AreCalledOnceIfTheyMayNotBeCalledSideBySide) {
  start();
  auto client = connect();
  client.send(ask(with_tools({{"parallel_tool_calls", false}})));
  service_.wait_for(1);
  for (auto id : ids(fenced_calls)) {
    generation_event event;
    event.tokens = {id};
    service_.tell(1, event);
  }
  service_.wait_for_cancel(1);
  auto choice = json::parse(client.receive().body)["choices"][0];
  EXPECT_EQ(choice["message"]["tool_calls"].size(), 1u);
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
}

TEST_F(OpenaiTools, EndAnAnswerWithWhatWasKeptBackForAStopString) {
  start();
  auto client = connect();
  client.send(
    ask(with_tools({{"parallel_tool_calls", false}, {"stop", {"ell, no"}}})));
  service_.wait_for(1);
  for (auto id : ids(fenced_calls)) {
    generation_event event;
    event.tokens = {id};
    service_.tell(1, event);
  }
  service_.wait_for_cancel(1);
  auto choice = json::parse(client.receive().body)["choices"][0];
  EXPECT_EQ(choice["message"]["content"], "Well");
  EXPECT_EQ(choice["message"]["tool_calls"].size(), 1u);
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
}

TEST_F(OpenaiTools, AreRefusedByName) {
  start();
  auto strict = tool("f");
  strict["function"]["strict"] = "yes";
  auto nameless = tool("f");
  nameless["function"].erase("name");
  auto odd = tool("f");
  odd["function"]["parameters"] = 1;
  json other = {{"type", "function"}, {"function", {{"name", "f"}}}};
  json bare = {{"type", "function"}};
  json search = {{"type", "web_search"}};
  auto list = [](json x) { return json{{"tools", json::array({x})}}; };
  const std::pair<json, const char*> cases[] = {
    {{{"tools", "x"}}, "tools"},
    {list(1), "tools[0]"},
    {list(bare), "tools[0].function"},
    {list(search), "tools[0].type"},
    {list(nameless), "tools[0].function.name"},
    {list(tool("a b")), "tools[0].function.name"},
    {list(odd), "tools[0].function.parameters"},
    {list(strict), "tools[0].function.strict"},
    {{{"tools", std::vector<json>(129, tool("f"))}}, "tools"},
    {with_tools({{"tool_choice", "maybe"}}), "tool_choice"},
    {with_tools({{"response_format", {{"type", "json_object"}}}}), "tools"},
    {with_tools({{"tool_choice", json::array()}}), "tool_choice"},
    {with_tools({{"tool_choice", other}}), "tool_choice"},
    {{{"tool_choice", "required"}}, "tool_choice"},
    {{{"tool_choice", other}}, "tool_choice"},
    {{{"functions", {1}}}, "functions"},
  };
  for (auto& [asked, param] : cases) {
    auto got = fetch(ask(asked));
    EXPECT_EQ(got.status, 400) << asked;
    EXPECT_EQ(json::parse(got.body)["error"]["param"], param) << asked;
  }
  EXPECT_EQ(service_.num_requests(), 0u);
  TearDown();
  use_template(test::v2);
  start();
  EXPECT_EQ(fetch(ask(with_tools())).status, 400);
}

} // namespace

} // namespace troupe::http
