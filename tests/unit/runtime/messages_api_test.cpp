// Anthropic's form: messages of content blocks.

#include "tests/unit/runtime/openai_fixture.hpp"

namespace troupe::http {

namespace {

const json tool
  = {{"name", "add"},
     {"description", "Adds."},
     {"input_schema",
      {{"type", "object"}, {"properties", {{"a", {{"type", "integer"}}}}}}}};

const std::string one_call
  = "Well<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function"
    "<｜tool▁sep｜>add\n```json\n{\"a\": 1}\n```<｜tool▁call▁end｜>"
    "<｜tool▁calls▁end｜>";

class MessagesApi : public openai_fixture {
protected:
  static std::string say(json more = json::object(),
                         const std::string& headers = "") {
    json body = {{"model", "nano"},
                 {"max_tokens", 50},
                 {"messages", {{{"role", "user"}, {"content", "hi"}}}}};
    if (more.is_object()) // {} is null
      body.update(more);
    return post("/v1/messages", body.dump(), headers);
  }

  static json say_also(const json& content, const char* role = "user") {
    return {{"role", role}, {"content", content}};
  }

  /// What the model is asked by a request with `more`.
  std::string prompt_of(const json& more) {
    clients_.push_back(connect());
    clients_.back().send(say(more));
    return tokens_->decode(service_.wait_for(++last_).prompt);
  }

  /// Events with their names.
  static std::vector<json> named_events(const std::string& body) {
    std::vector<json> all;
    for (size_t at = 0; at < body.size();) {
      auto end = body.find("\n\n", at);
      auto line = body.find("\ndata: ", at);
      EXPECT_TRUE(body.substr(at).starts_with("event: "));
      auto x = json::parse(body.substr(line + 7, end - line - 7));
      EXPECT_EQ(x["type"], body.substr(at + 7, line - at - 7));
      all.push_back(std::move(x));
      at = end + 2;
    }
    return all;
  }

  void expect_refused(const json& more, const std::string& words) {
    auto got = fetch(say(more));
    EXPECT_EQ(got.status, 400) << more;
    auto x = json::parse(got.body);
    EXPECT_EQ(x["type"], "error");
    EXPECT_EQ(x["error"]["type"], "invalid_request_error");
    EXPECT_NE(x["error"]["message"].get<std::string>().find(words),
              std::string::npos)
      << x;
  }

  std::vector<test::http_client> clients_; ///< Who leaves is cancelled.
  request_id last_ = 0;
};

TEST_F(MessagesApi, AnswersWholeWithBlocks) {
  start();
  auto client = connect();
  client.send(say({{"temperature", 0}, {"system", "Be brief."}}));
  auto request = service_.wait_for(1);
  EXPECT_EQ(tokens_->decode(request.prompt),
            "<｜begin▁of▁sentence｜>Be brief.<｜User｜>hi<｜Assistant｜>");
  EXPECT_EQ(request.max_tokens, 50u);
  service_.play(1, ids("Paris."), finish_reason::stop);
  auto got = client.receive();
  EXPECT_EQ(got.status, 200);
  auto x = json::parse(got.body);
  EXPECT_TRUE(x["id"].get<std::string>().starts_with("msg_"));
  EXPECT_EQ(x["type"], "message");
  EXPECT_EQ(x["role"], "assistant");
  EXPECT_EQ(x["model"], "nano");
  EXPECT_EQ(x["content"], json::parse(R"([{"type":"text","text":"Paris."}])"));
  EXPECT_EQ(x["stop_reason"], "end_turn");
  EXPECT_EQ(x["stop_sequence"], nullptr);
  EXPECT_EQ(x["usage"]["input_tokens"], request.prompt.size());
  EXPECT_EQ(x["usage"]["output_tokens"], ids("Paris.").size());
  EXPECT_EQ(x["usage"]["cache_read_input_tokens"], 0);
}

TEST_F(MessagesApi, ThinksIfItIsAskedTo) {
  start();
  auto client = connect();
  client.send(
    say({{"thinking", {{"type", "enabled"}, {"budget_tokens", 1024}}}}));
  EXPECT_TRUE(
    tokens_->decode(service_.wait_for(1).prompt).ends_with("<think>\n"));
  service_.play(1, ids("so it is</think>Paris."), finish_reason::stop);
  auto all = json::parse(client.receive().body);
  EXPECT_EQ(all["usage"]["output_tokens_details"]["thinking_tokens"],
            ids("so it is</think>").size());
  auto x = all["content"];
  ASSERT_EQ(x.size(), 2u);
  EXPECT_EQ(x[0]["type"], "thinking");
  EXPECT_EQ(x[0]["thinking"], "so it is");
  EXPECT_EQ(x[1]["text"], "Paris.");
}

TEST_F(MessagesApi, WhatItThinksUnaskedIsNotTold) {
  start();
  const std::string said = "<think>so it is</think>\n\nParis.";
  const json none = {{"thinking", {{"type", "disabled"}}}};
  for (const auto& [more, before] :
       {std::pair{json::object(), ""}, {none, ""}, {none, "\n"}, {none, " "}}) {
    auto client = connect();
    client.send(say(more));
    service_.wait_for(++last_);
    service_.play(last_, ids(before + said), finish_reason::stop);
    auto x = json::parse(client.receive().body);
    EXPECT_EQ(x["content"],
              json::parse(R"([{"type":"text","text":"Paris."}])"));
    EXPECT_GT(x["usage"]["output_tokens_details"]["thinking_tokens"], 0);
  }
  auto client = connect();
  client.send(say({{"stream", true}}));
  service_.wait_for(++last_);
  service_.play(last_, ids(said), finish_reason::stop);
  auto body = client.receive().body;
  EXPECT_EQ(body.find("so it"), std::string::npos) << body;
  auto all = named_events(body);
  auto is_start = [](auto& x) { return x["type"] == "content_block_start"; };
  EXPECT_EQ(std::ranges::count_if(all, is_start), 1) << body;
  EXPECT_EQ(body.find("thinking_delta"), std::string::npos) << body;
}

TEST_F(MessagesApi, StreamsBlocksAsEvents) {
  start();
  auto client = connect();
  client.send(say({{"stream", true},
                   {"tools", {tool}},
                   {"thinking", {{"type", "adaptive"}}}}));
  auto request = service_.wait_for(1);
  service_.play(1, ids("hm</think>" + one_call), finish_reason::stop);
  auto got = client.receive();
  EXPECT_EQ(got.headers["content-type"], "text/event-stream");
  std::vector<std::string> types;
  std::string thought, text, input;
  auto all = named_events(got.body);
  for (const auto& x : all) {
    std::string type = x["type"];
    if (type == "content_block_delta") {
      const auto& delta = x["delta"];
      thought += delta.value("thinking", "");
      text += delta.value("text", "");
      input += delta.value("partial_json", "");
      if (types.back() == type)
        continue;
    }
    if (type != "ping")
      types.push_back(type);
  }
  const std::vector<std::string> block
    = {"content_block_start", "content_block_delta", "content_block_stop"};
  std::vector<std::string> wanted = {"message_start"};
  for (int i = 0; i < 3; ++i)
    wanted.insert(wanted.end(), block.begin(), block.end());
  wanted.insert(wanted.end(), {"message_delta", "message_stop"});
  EXPECT_EQ(types, wanted);
  EXPECT_EQ(all[0]["message"]["usage"]["input_tokens"], request.prompt.size());
  EXPECT_EQ(all[0]["message"]["content"], json::array());
  EXPECT_EQ(thought, "hm");
  EXPECT_EQ(text, "Well");
  EXPECT_EQ(input, "{\"a\": 1}");
  const auto& last = all[all.size() - 2];
  EXPECT_EQ(last["delta"]["stop_reason"], "tool_use");
  EXPECT_EQ(last["usage"]["input_tokens"], request.prompt.size());
  EXPECT_GT(last["usage"]["output_tokens"], 5);
}

TEST_F(MessagesApi, SaysWhyAnAnswerEnded) {
  start();
  for (const auto& [more, reason, sequence] :
       {std::tuple{json({{"stop_sequences", {"b"}}}), "stop_sequence", "b"},
        {json({{"max_tokens", 1}}), "max_tokens", ""},
        {json({{"tools", {tool}}}), "tool_use", ""}}) {
    auto client = connect();
    client.send(say(more));
    service_.wait_for(++last_);
    auto is_call = std::string{"tool_use"} == reason;
    service_.play(last_, ids(is_call ? one_call : "a b c"),
                  last_ == 2 ? finish_reason::length : finish_reason::stop);
    auto x = json::parse(client.receive().body);
    EXPECT_EQ(x["stop_reason"], reason);
    EXPECT_EQ(x["stop_sequence"], *sequence ? json(sequence) : json());
    if (is_call) {
      EXPECT_EQ(x["content"][1]["name"], "add");
      EXPECT_EQ(x["content"][1]["input"], json({{"a", 1}}));
    }
  }
}

TEST_F(MessagesApi, ToolsAndTheirResultsAreToldAsInChats) {
  start();
  json use = {{"type", "tool_use"},
              {"id", "t1"},
              {"name", "add"},
              {"input", {{"b", 1}, {"a", 2}}}};
  json other = use;
  other["id"] = "t2";
  json results = {{{"type", "tool_result"},
                   {"tool_use_id", "t2"},
                   {"content", {{{"type", "text"}, {"text", "two"}}}}},
                  {{"type", "tool_result"},
                   {"tool_use_id", "t1"},
                   {"is_error", true},
                   {"content", "one"}},
                  {{"type", "text"}, {"text", "and?"}}};
  auto said = prompt_of({{"tools", {tool}},
                         {"messages",
                          {say_also("hi"), say_also({use, other}, "assistant"),
                           say_also(results)}}});
  // In OpenAI's form the same conversation is the same prompt.
  clients_.push_back(connect());
  clients_.back().send(post("/v1/chat/completions", R"({"model": "nano",
    "chat_template_kwargs": {"thinking": false},
    "tools": [{"type": "function", "function": {
      "name": "add", "description": "Adds.", "parameters": {
        "properties": {"a": {"type": "integer"}}, "type": "object"}}}],
    "messages": [
      {"role": "user", "content": "hi"},
      {"role": "assistant", "content": null, "tool_calls": [
        {"type": "function", "function": {
          "name": "add", "arguments": "{\"a\": 2, \"b\": 1}"}},
        {"type": "function", "function": {
          "name": "add", "arguments": "{\"a\": 2, \"b\": 1}"}}]},
      {"role": "tool", "content": "Error: one"},
      {"role": "tool", "content": "two"},
      {"role": "user", "content": "and?"}]})"));
  EXPECT_EQ(said, tokens_->decode(service_.wait_for(2).prompt));
}

TEST_F(MessagesApi, AnAnswerThatIsBegunGoesOn) {
  start();
  auto said = prompt_of(
    {{"messages", {say_also("hi"), say_also("It is", "assistant")}}});
  EXPECT_TRUE(said.ends_with("It is")) << said;
}

TEST_F(MessagesApi, ArgumentsOfToolsAreAlwaysObjects) {
  start();
  (void)prompt_of({{"tools", {tool}}});
  EXPECT_EQ(service_.wait_for(1).grammar.kind, grammar_kind::tools);
  (void)prompt_of({{"tools", {tool}}, {"tool_choice", {{"type", "none"}}}});
  EXPECT_EQ(service_.wait_for(2).grammar.kind, grammar_kind::none);
  auto named = json{{"type", "tool"}, {"name", "add"}};
  EXPECT_NE(prompt_of({{"tools", {tool}}, {"tool_choice", named}})
              .find("<｜tool▁sep｜>add"),
            std::string::npos);
}

TEST_F(MessagesApi, AFormOfTheAnswerIsAGrammar) {
  start();
  json format = {{"type", "json_schema"}, {"schema", {{"type", "integer"}}}};
  (void)prompt_of({{"output_config", {{"format", format}}}});
  auto grammar = service_.wait_for(1).grammar;
  EXPECT_EQ(grammar.kind, grammar_kind::json_schema);
  EXPECT_EQ(grammar.text, R"({"type":"integer"})");
  (void)prompt_of({{"output_format", format}});
  EXPECT_EQ(service_.wait_for(2).grammar.text, grammar.text);
}

TEST_F(MessagesApi, TokensAreCounted) {
  start();
  json body = {{"model", "nano"}, {"messages", {say_also("hi")}}};
  auto got = fetch(post("/v1/messages/count_tokens", body.dump()));
  EXPECT_EQ(got.status, 200);
  auto client = connect();
  client.send(say());
  EXPECT_EQ(json::parse(got.body)["input_tokens"],
            service_.wait_for(1).prompt.size());
  body["model"] = "other";
  got = fetch(post("/v1/messages/count_tokens", body.dump()));
  EXPECT_EQ(got.status, 404);
  EXPECT_EQ(json::parse(got.body)["error"]["type"], "not_found_error");
}

TEST_F(MessagesApi, WhatIsWrongIsRefusedByName) {
  start();
  expect_refused({{"max_tokens", nullptr}}, "max_tokens");
  expect_refused({{"messages", json::array()}}, "messages");
  expect_refused({{"messages", {say_also("x", "system")}}}, "role");
  expect_refused({{"messages", {say_also({{{"type", "image"}}})}}}, "type");
  expect_refused({{"messages",
                   {say_also({{{"type", "tool_result"},
                               {"tool_use_id", "t9"},
                               {"content", "x"}}})}}},
                 "t9");
  expect_refused(
    {{"tools", {{{"type", "web_search_20250305"}, {"name", "web_search"}}}}},
    "type");
  expect_refused({{"tools", {tool}}, {"tool_choice", {{"type", "maybe"}}}},
                 "tool_choice");
  expect_refused({{"thinking", {{"type", "sometimes"}}}}, "thinking");
  expect_refused({{"mcp_servers", {{{"url", "x"}}}}}, "mcp_servers");
  expect_refused({{"n", 2}}, "n");
  json edit = {{"type", "clear_thinking_20251015"}, {"keep", "all"}};
  (void)prompt_of({{"context_management", {{"edits", {edit}}}}});
  edit["keep"] = {{"type", "thinking_turns"}, {"value", 1}};
  expect_refused({{"context_management", {{"edits", {edit}}}}},
                 "context_management");
  auto got = fetch(say({{"model", "other"}}));
  EXPECT_EQ(got.status, 404);
}

TEST_F(MessagesApi, AKeyMayComeAsAnthropicsClientsSendIt) {
  openai_options options;
  options.keys = {{"secret"}};
  start(options);
  auto got = fetch(say({}, "X-Api-Key: wrong\r\n"));
  EXPECT_EQ(got.status, 401);
  auto x = json::parse(got.body);
  EXPECT_EQ(x["error"]["type"], "authentication_error");
  auto client = connect();
  client.send(
    say({}, "x-api-key: secret\r\nanthropic-version: 2023-06-01\r\n"));
  service_.wait_for(1);
}

TEST_F(MessagesApi, EveryAnswerNamesItsRequest) {
  openai_options options;
  options.keys = {{"secret"}};
  start(options);
  const std::string mine = "X-Request-Id: mine\r\n";
  const std::string key = "X-Api-Key: secret\r\n";
  auto client = connect();
  client.send(say({}, mine + key));
  service_.wait_for(1);
  service_.play(1, ids("ok"), finish_reason::stop);
  EXPECT_EQ(client.receive().headers["request-id"], "mine");
  for (const auto& text : {say({}, mine), say({{"n", 2}}, mine + key),
                           post("/v1/messages/count_tokens", "{}", mine + key),
                           get("/v1/messages", mine + key)}) {
    auto got = fetch(text);
    EXPECT_GE(got.status, 400);
    EXPECT_EQ(got.headers["request-id"], "mine");
    EXPECT_EQ(json::parse(got.body)["request_id"], "mine") << got.body;
  }
  EXPECT_FALSE(
    fetch(get("/v1/models", mine + key)).headers.contains("request-id"));
}

TEST_F(MessagesApi, AStreamThatFailsSaysSo) {
  start();
  auto client = connect();
  client.send(say({{"stream", true}}));
  service_.wait_for(1);
  generation_event event;
  event.tokens = ids("a");
  service_.tell(1, event);
  event = {};
  event.finish = finish_reason::failed;
  event.cause = failure{errc::peer_lost, "node b is lost"};
  service_.tell(1, event);
  auto all = named_events(client.receive().body);
  EXPECT_EQ(all.back()["type"], "error");
  EXPECT_EQ(all.back()["error"]["type"], "api_error");
  EXPECT_EQ(all.back()["error"]["message"], "node b is lost");
}

} // namespace

} // namespace troupe::http
