// OpenAI's responses: items, typed events, and what is kept of them.

#include "tests/unit/runtime/openai_fixture.hpp"

namespace troupe::http {

namespace {

const json tool = {
  {"type", "function"}, {"name", "add"}, {"parameters", {{"type", "object"}}}};

const std::string one_call
  = "Well<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function"
    "<｜tool▁sep｜>add\n```json\n{\"a\": 1}\n```<｜tool▁call▁end｜>"
    "<｜tool▁calls▁end｜>";

class ResponsesApi : public openai_fixture {
protected:
  static std::string make(json more = json::object(),
                          const std::string& headers = "") {
    json body = {
      {"model", "nano"}, {"input", "hi"}, {"reasoning", {{"effort", "none"}}}};
    if (more.is_object()) // {} is null
      body.update(more);
    return post("/v1/responses", body.dump(), headers);
  }

  /// The whole response to a request with `more`, for which the model says
  /// `text`.
  json respond(const json& more, const std::string& text,
               finish_reason end = finish_reason::stop,
               const std::string& headers = "") {
    auto client = connect();
    client.send(make(more, headers));
    prompt_ = tokens_->decode(service_.wait_for(++last_).prompt);
    service_.play(last_, ids(text), end);
    auto got = client.receive();
    EXPECT_EQ(got.status, 200) << got.body;
    return json::parse(got.body);
  }

  void expect_refused(const json& more, const std::string& param) {
    auto got = fetch(make(more));
    EXPECT_EQ(got.status, 400) << more;
    EXPECT_EQ(json::parse(got.body)["error"]["param"], param) << got.body;
  }

  std::string prompt_; ///< Of the last request.
  request_id last_ = 0;
};

TEST_F(ResponsesApi, AnswersWholeWithItems) {
  start();
  auto x = respond({{"instructions", "Be brief."},
                    {"reasoning", nullptr},
                    {"max_output_tokens", 50},
                    {"metadata", {{"a", "b"}}},
                    {"temperature", 0.5}},
                   "so</think>Paris.");
  EXPECT_EQ(prompt_, "<｜begin▁of▁sentence｜>Be brief.<｜User｜>hi"
                     "<｜Assistant｜><think>\n");
  EXPECT_TRUE(x["id"].get<std::string>().starts_with("resp_"));
  EXPECT_EQ(x["object"], "response");
  EXPECT_EQ(x["status"], "completed");
  EXPECT_EQ(x["instructions"], "Be brief.");
  EXPECT_EQ(x["metadata"]["a"], "b");
  EXPECT_EQ(x["temperature"], 0.5);
  ASSERT_EQ(x["output"].size(), 2u);
  EXPECT_EQ(x["output"][0]["type"], "reasoning");
  EXPECT_EQ(x["output"][0]["content"][0]["text"], "so");
  auto message = x["output"][1];
  EXPECT_EQ(message["type"], "message");
  EXPECT_EQ(message["role"], "assistant");
  EXPECT_EQ(message["status"], "completed");
  EXPECT_EQ(message["content"][0]["type"], "output_text");
  EXPECT_EQ(message["content"][0]["text"], "Paris.");
  auto used = x["usage"];
  EXPECT_EQ(used["output_tokens"], ids("so</think>Paris.").size());
  EXPECT_EQ(used["output_tokens_details"]["reasoning_tokens"],
            ids("so</think>").size());
  EXPECT_EQ(used["input_tokens_details"]["cached_tokens"], 0);
  EXPECT_EQ(used["total_tokens"].get<int>(),
            used["input_tokens"].get<int>() + used["output_tokens"].get<int>());
}

TEST_F(ResponsesApi, AnAnswerThatWasCutIsIncomplete) {
  start();
  auto x = respond({}, "a b", finish_reason::length);
  EXPECT_EQ(x["status"], "incomplete");
  EXPECT_EQ(x["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(x["output"][0]["status"], "incomplete");
}

TEST_F(ResponsesApi, StreamsTypedEventsInOrder) {
  start();
  auto client = connect();
  client.send(make({{"stream", true}, {"tools", {tool}}}));
  service_.wait_for(1);
  service_.play(1, ids(one_call), finish_reason::stop);
  auto body = client.receive().body;
  std::vector<std::string> types;
  std::string text, arguments;
  json last;
  for (size_t at = 0, n = 0; at < body.size(); ++n) {
    auto end = body.find("\n\n", at);
    auto line = body.find("\ndata: ", at);
    last = json::parse(body.substr(line + 7, end - line - 7));
    std::string type = last["type"];
    EXPECT_EQ("event: " + type, body.substr(at, line - at));
    EXPECT_EQ(last["sequence_number"], n);
    if (type == "response.output_text.delta")
      text += last["delta"];
    if (type == "response.function_call_arguments.delta")
      arguments += last["delta"];
    if (types.empty() || types.back() != type)
      types.push_back(type);
    at = end + 2;
  }
  EXPECT_EQ(
    types,
    (std::vector<std::string>{
      "response.created", "response.in_progress", "response.output_item.added",
      "response.content_part.added", "response.output_text.delta",
      "response.output_text.done", "response.content_part.done",
      "response.output_item.done", "response.output_item.added",
      "response.function_call_arguments.delta",
      "response.function_call_arguments.done", "response.output_item.done",
      "response.completed"}));
  EXPECT_EQ(text, "Well");
  EXPECT_EQ(arguments, "{\"a\": 1}");
  auto output = last["response"]["output"];
  EXPECT_EQ(output[0]["content"][0]["text"], "Well");
  EXPECT_EQ(output[1]["type"], "function_call");
  EXPECT_EQ(output[1]["arguments"], arguments);
}

TEST_F(ResponsesApi, ToldAgainAsAStreamHasTheSameEvents) {
  start();
  auto client = connect();
  client.send(make({{"stream", true}, {"tools", {tool}}}));
  service_.wait_for(1);
  service_.play(1, ids("Well, well" + one_call), finish_reason::length);
  auto told = client.receive().body;
  auto begin = told.find("resp_");
  auto path = "/v1/responses/"
              + told.substr(begin, told.find('"', begin) - begin);
  auto got = fetch(get(path + "?stream=true"));
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.headers["content-type"], "text/event-stream");
  EXPECT_EQ(got.headers["x-accel-buffering"], "no");
  EXPECT_EQ(got.body, told);
  // Behind each event what followed it.
  size_t number = 0;
  for (auto at = told.find("\n\n"); at != told.npos;
       at = told.find("\n\n", at + 2), ++number)
    EXPECT_EQ(fetch(get(path + "?starting_after=" + std::to_string(number)
                        + "&stream=true&include_obfuscation=false"))
                .body,
              told.substr(at + 2));
  EXPECT_GT(number, 10u);
  EXPECT_EQ(fetch(get(path + "?stream=true&starting_after=4294967295")).body,
            "");
  EXPECT_EQ(json::parse(fetch(get(path + "?stream=false")).body)["status"],
            "incomplete");
}

TEST_F(ResponsesApi, ToldAsAStreamAfterAWholeAnswerHasItsTexts) {
  start();
  auto x = respond({{"reasoning", nullptr}}, "so</think>Paris.");
  auto path = "/v1/responses/" + x["id"].get<std::string>();
  auto body = fetch(get(path + "?stream=true")).body;
  auto last = body.rfind("\ndata: ");
  EXPECT_EQ(json::parse(body.substr(last + 7))["response"], x);
  for (const auto* text :
       {R"("delta":"so")", R"("delta":"Paris.")", R"("sequence_number":0,)"})
    EXPECT_NE(body.find(text), std::string::npos) << text;
  for (const auto& [query, param] : std::map<std::string, std::string>{
         {"stream=yes", "stream"},
         {"stream=true&starting_after=-1", "starting_after"},
         {"stream=true&starting_after=", "starting_after"},
         {"starting_after=1", "starting_after"},
         {"include%5B%5D=message.output_text.logprobs", "include"}}) {
    auto got = fetch(get(path + "?" + query));
    EXPECT_EQ(got.status, 400) << query;
    EXPECT_EQ(json::parse(got.body)["error"]["param"], param) << got.body;
  }
  EXPECT_EQ(fetch(get(path + "x?stream=true")).status, 404);
}

TEST_F(ResponsesApi, GoesOnFromAnEarlierOne) {
  start();
  auto first = respond({{"tools", {tool}}, {"instructions", "Be brief."}},
                       one_call);
  auto call = first["output"][1];
  EXPECT_EQ(call["type"], "function_call");
  json output = {{"type", "function_call_output"},
                 {"call_id", call["call_id"]},
                 {"output", "two"}};
  auto second = respond({{"tools", {tool}},
                         {"previous_response_id", first["id"]},
                         {"input", {output}}},
                        "It is two.");
  EXPECT_EQ(second["previous_response_id"], first["id"]);
  EXPECT_EQ(prompt_.find("Be brief."), std::string::npos);
  auto by_reference = prompt_;
  // The same as if all had been said again.
  json whole = json::array({{{"role", "user"}, {"content", "hi"}}});
  for (const auto& x : first["output"])
    whole.push_back(x);
  whole.push_back(output);
  (void)respond({{"tools", {tool}}, {"input", whole}, {"store", false}},
                "It is two.");
  EXPECT_EQ(prompt_, by_reference);
  auto third = respond(
    {{"previous_response_id", second["id"]}, {"input", "and?"}}, "Yes.");
  EXPECT_NE(prompt_.find("It is two."), std::string::npos);
  EXPECT_TRUE(prompt_.find("and?") > prompt_.find("It is two."));
}

TEST_F(ResponsesApi, IsKeptUntilItIsDeleted) {
  start();
  auto x = respond({}, "Paris.");
  auto path = "/v1/responses/" + x["id"].get<std::string>();
  auto got = fetch(get(path));
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(json::parse(got.body), x);
  auto remove = "DELETE " + path + " HTTP/1.1\r\nHost: x\r\n\r\n";
  got = fetch(remove);
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(json::parse(got.body)["deleted"], true);
  EXPECT_EQ(fetch(remove).status, 404);
  EXPECT_EQ(fetch(get(path)).status, 404);
  EXPECT_EQ(fetch(post(path, "{}")).status, 405);
  x = respond({{"store", false}}, "Paris.");
  EXPECT_EQ(fetch(get("/v1/responses/" + x["id"].get<std::string>())).status,
            404);
}

TEST_F(ResponsesApi, NobodySeesThoseOfAnotherKey) {
  openai_options options;
  options.keys = {{"one"}, {"two"}};
  start(options);
  const std::string one = "Authorization: Bearer one\r\n",
                    two = "Authorization: Bearer two\r\n";
  auto x = respond({}, "Paris.", finish_reason::stop, one);
  auto path = "/v1/responses/" + x["id"].get<std::string>();
  EXPECT_EQ(fetch(get(path)).status, 401);
  EXPECT_EQ(fetch(get(path, two)).status, 404);
  EXPECT_EQ(
    fetch("DELETE " + path + " HTTP/1.1\r\nHost: x\r\n" + two + "\r\n").status,
    404);
  auto got = fetch(make({{"previous_response_id", x["id"]}}, two));
  EXPECT_EQ(got.status, 400);
  EXPECT_EQ(json::parse(got.body)["error"]["code"],
            "previous_response_not_found");
  EXPECT_EQ(fetch(get(path, one)).status, 200);
}

TEST_F(ResponsesApi, AFormOfTheTextIsAGrammar) {
  start();
  json format = {
    {"type", "json_schema"}, {"name", "n"}, {"schema", {{"type", "integer"}}}};
  (void)respond({{"text", {{"format", format}}}}, "1");
  EXPECT_EQ(service_.wait_for(1).grammar.kind, grammar_kind::json_schema);
  (void)respond({{"text", {{"format", {{"type", "json_object"}}}}}}, "{}");
  EXPECT_EQ(service_.wait_for(2).grammar.kind, grammar_kind::json_object);
}

TEST_F(ResponsesApi, AFormOfTheTextSaysNothingOfACallThatHasToBe) {
  start();
  json format = {{"type", "json_schema"}, {"schema", {{"type", "integer"}}}};
  json both = {{"text", {{"format", format}}}, {"tools", {tool}}};
  for (const auto& choice :
       {json("required"), json{{"type", "function"}, {"name", "add"}}}) {
    auto asked = both;
    asked["tool_choice"] = choice;
    (void)respond(asked, "x");
    EXPECT_EQ(service_.wait_for(last_).grammar.kind, grammar_kind::tools);
  }
  both["tool_choice"] = "none";
  (void)respond(both, "1");
  EXPECT_EQ(service_.wait_for(last_).grammar.kind, grammar_kind::json_schema);
  both["tool_choice"] = "auto";
  expect_refused(both, "tools");
}

TEST_F(ResponsesApi, EffortAndVerbosityAreTakenAsOpenaiHasThem) {
  start();
  for (const auto* effort : {"none", "minimal", "low", "high", "xhigh"}) {
    auto x = respond(
      {{"reasoning", {{"effort", effort}}}, {"text", {{"verbosity", "low"}}}},
      "</think>Paris.");
    EXPECT_EQ(x["reasoning"]["effort"], effort);
  }
}

TEST_F(ResponsesApi, WhatOpenaiHasBesideThemIsNotThere) {
  start();
  auto id = respond(json::object(), "</think>x")["id"].get<std::string>();
  const std::string path = "/v1/responses/";
  for (const auto& text :
       {get(path + id + "/input_items"), get(path),
        post(path + "input_tokens", "{}"), post(path + "compact", "{}"),
        post(path + id + "/cancel", "{}")}) {
    auto got = fetch(text);
    EXPECT_EQ(got.status, 404) << text;
    EXPECT_EQ(json::parse(got.body)["error"]["code"], "unknown_url") << text;
  }
  EXPECT_EQ(fetch(get(path + id)).status, 200);
}

TEST_F(ResponsesApi, WhatIsWrongIsRefusedByName) {
  start();
  expect_refused({{"input", nullptr}}, "input");
  expect_refused({{"input", json::array()}}, "input");
  expect_refused({{"input", {{{"type", "reasoning"}, {"id", "r"}}}}}, "input");
  expect_refused({{"input", {{{"type", "item_reference"}, {"id", "x"}}}}},
                 "input.type");
  expect_refused({{"input",
                   {{{"type", "function_call_output"},
                     {"call_id", "c9"},
                     {"output", "x"}}}}},
                 "input");
  expect_refused({{"background", true}}, "background");
  expect_refused({{"truncation", "auto"}}, "truncation");
  expect_refused({{"reasoning", {{"effort", "much"}}}}, "reasoning.effort");
  expect_refused({{"text", {{"verbosity", "none"}}}}, "text.verbosity");
  expect_refused({{"text", {{"format", {{"type", "json_schema"}}}}}},
                 "text.format.schema");
  expect_refused({{"tools", {{{"type", "web_search"}}}}}, "tools[0].type");
  expect_refused({{"previous_response_id", "resp_x"}}, "previous_response_id");
  expect_refused({{"max_output_tokens", 0}}, "max_output_tokens");
  expect_refused({{"include", {"message.output_text.logprobs"}}}, "include");
}

} // namespace

} // namespace troupe::http
