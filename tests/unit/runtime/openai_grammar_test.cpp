/// What requests say of their answer's text becomes a grammar.

#include "tests/unit/runtime/chat_templates.hpp"
#include "tests/unit/runtime/openai_fixture.hpp"

#include "runtime/grammar/tool_grammar.hpp"
#include "runtime/json/spaced_json.hpp"

namespace troupe::http {

namespace {

using enum grammar_kind;

const json schema{{"type", "object"},
                  {"properties", {{"a", {{"type", "integer"}}}}},
                  {"required", {"a"}}};

class OpenaiGrammar : public openai_fixture {
protected:
  /// The grammar of a chat that asks for `more`.
  grammar_source grammar_of(const json& more) {
    auto client = connect();
    auto id = service_.num_requests() + 1;
    client.send(ask(more));
    auto out = service_.wait_for(id).grammar;
    service_.play(id, {}, finish_reason::stop);
    EXPECT_EQ(client.receive().status, 200);
    return out;
  }

  /// As a schema is written that came with a tool.
  static std::string as_sent(const json& x) {
    return spaced_json(nlohmann::ordered_json::parse(x.dump()));
  }

  static json function(const std::string& name, bool is_strict) {
    return {{"type", "function"},
            {"function",
             {{"name", name}, {"parameters", schema}, {"strict", is_strict}}}};
  }
};

} // namespace

TEST_F(OpenaiGrammar, IsWhatTheRequestSays) {
  start();
  json in_format{
    {"type", "json_schema"},
    {"json_schema", {{"name", "x"}, {"strict", true}, {"schema", schema}}}};
  auto outputs = [](json x) { return json{{"structured_outputs", x}}; };
  const std::pair<json, grammar_source> cases[]
    = {{json::object(), {}},
       {{{"response_format", {{"type", "text"}}}}, {}},
       {{{"response_format", {{"type", "json_object"}}}}, {json_object, ""}},
       {{{"response_format", in_format}}, {json_schema, schema.dump()}},
       {{{"guided_json", schema}}, {json_schema, schema.dump()}},
       {{{"guided_json", schema.dump()}}, {json_schema, schema.dump()}},
       {{{"guided_regex", "a+"}}, {regex, "a+"}},
       {{{"guided_choice", {"a", "b"}}}, {choice, R"(["a","b"])"}},
       {{{"guided_grammar", "root ::= \"a\""}}, {gbnf, "root ::= \"a\""}},
       {outputs({{"json", schema}}), {json_schema, schema.dump()}},
       {outputs({{"regex", "a"}}), {regex, "a"}},
       {outputs({{"choice", {"a"}}}), {choice, R"(["a"])"}},
       {outputs({{"grammar", "root ::= \"a\""}}), {gbnf, "root ::= \"a\""}},
       {outputs({{"json_object", true}}), {json_object, ""}}};
  for (auto& [more, expected] : cases) {
    auto got = grammar_of(more);
    EXPECT_EQ(got.kind, expected.kind) << more;
    EXPECT_EQ(got.text, expected.text) << more;
    EXPECT_TRUE(got.after_thought) << "nano thinks first";
  }
}

TEST_F(OpenaiGrammar, HasMembersInTheOrderOfTheBody) {
  start();
  auto client = connect();
  client.send(post("/v1/completions",
                   R"({"model": "nano", "prompt": "a", "guided_json":
                      {"properties": {"b": {}, "a": {}}}})"));
  auto got = service_.wait_for(1).grammar;
  EXPECT_EQ(got.text, R"({"properties":{"b":{},"a":{}}})");
  EXPECT_FALSE(got.after_thought);
  service_.play(1, {}, finish_reason::stop);
}

TEST_F(OpenaiGrammar, IsRefusedWithTheFieldThatIsWrong) {
  start();
  auto format = [](json x) { return json{{"response_format", x}}; };
  json odd = {{"type", "object"}, {"patternProperties", {{"a", true}}}};
  auto named = [](json x) {
    return json{{"type", "json_schema"}, {"json_schema", x}};
  };
  const std::pair<json, const char*> cases[] = {
    {format({{"type", "xml"}}), "response_format.type"},
    {format(1), "response_format"},
    {format({{"type", "json_schema"}}), "response_format.json_schema"},
    {format(named({{"name", "x"}})), "response_format.json_schema.schema"},
    {format(named({{"schema", odd}})), "response_format.json_schema.schema"},
    {{{"guided_json", "{"}}, "guided_json"},
    {{{"guided_json", 1}}, "guided_json"},
    {{{"guided_regex", "("}}, "guided_regex"},
    {{{"guided_choice", "a"}}, "guided_choice"},
    {{{"guided_choice", json::array()}}, "guided_choice"},
    {{{"guided_grammar", "a"}}, "guided_grammar"},
    {{{"structured_outputs", {{"xml", 1}}}}, "structured_outputs.xml"},
    {{{"structured_outputs", json::object()}}, "structured_outputs"},
    {{{"structured_outputs", {{"regex", "("}}}}, "structured_outputs.regex"},
    {{{"guided_regex", "a"}, {"guided_json", json::object()}}, "guided_regex"}};
  for (auto& [asked, param] : cases) {
    auto got = fetch(ask(asked));
    EXPECT_EQ(got.status, 400) << asked;
    EXPECT_EQ(json::parse(got.body)["error"]["param"], param) << got.body;
  }
  auto why = json::parse(fetch(ask(format(named({{"schema", odd}})))).body);
  EXPECT_NE(why["error"]["message"].get<std::string>().find(
              "'patternProperties' is not supported"),
            std::string::npos);
  EXPECT_EQ(service_.num_requests(), 0u);
}

TEST_F(OpenaiGrammar, OfToolsIsThatOfTheirSchemas) {
  use_template(test::v3_1);
  start();
  auto of = [&](json tools, json choice, bool many = true) {
    return grammar_of({{"tools", tools},
                       {"tool_choice", choice},
                       {"parallel_tool_calls", many}});
  };
  json named{{"type", "function"}, {"function", {{"name", "g"}}}};
  auto loose = json::array({function("f", false), function("g", false)});
  auto mixed = json::array({function("f", false), function("g", true)});
  EXPECT_EQ(of(loose, "auto").kind, none);
  EXPECT_EQ(of(mixed, "none").kind, none);
  tool_calls_source expected;
  expected.style = tool_style::plain;
  auto sent_schema = as_sent(schema);
  expected.functions = {{"f", sent_schema}, {"g", sent_schema}};
  expected.may_call_more = true;
  EXPECT_EQ(of(loose, "required"), (grammar_source{tools, render(expected)}));
  auto text = of(mixed, "auto").text;
  EXPECT_TRUE(json::parse(text)["speak"]);
  EXPECT_EQ(json::parse(text)["functions"][0]["schema"], "");
  auto sent = json::parse(text)["functions"][1]["schema"].get<std::string>();
  EXPECT_EQ(json::parse(sent), schema);
  EXPECT_EQ(of(loose, named), of(mixed, named));
  text = of(mixed, named).text;
  EXPECT_TRUE(json::parse(text)["begun"]);
  EXPECT_EQ(json::parse(text)["functions"].size(), 1u);
  text = of(mixed, "required", false).text;
  EXPECT_FALSE(json::parse(text)["speak"]);
  EXPECT_FALSE(json::parse(text)["more"]);
}

TEST_F(OpenaiGrammar, OfForcedCallsIsAnyObjectWhereTheirSchemaCannotBeRead) {
  use_template(test::v3_1);
  start();
  const json odd[] = {{{"type", "object"}, {"patternProperties", {{"a", 1}}}},
                      {{"type", "object"}, {"properties", nullptr}},
                      {{"type", "string"}},
                      {{"description", "Whatever."}},
                      json::object()};
  for (auto& x : odd) {
    auto loose = function("f", false);
    loose["function"]["parameters"] = x;
    auto got = grammar_of({{"tools", {loose}}, {"tool_choice", "required"}});
    EXPECT_EQ(got.kind, tools) << x;
    auto sent = json::parse(got.text);
    EXPECT_TRUE(sent["begun"]);
    EXPECT_EQ(sent["functions"][0]["schema"], "") << x;
  }
}

TEST_F(OpenaiGrammar, OfForcedCallsIsSmallerWhereTheirSchemasAreTooMuch) {
  service_.max_model_len = 1 << 20;
  use_template(test::v3_1);
  start();
  json wide = schema;
  for (int i = 0; i < 40; ++i)
    wide["properties"][std::string(200, 'b') + std::to_string(i)]
      = json::object();
  auto all = json::array();
  for (int i = 0; i < 16; ++i) {
    all.push_back(function("f" + std::to_string(i), false));
    all.back()["function"]["parameters"] = wide;
  }
  auto got = grammar_of({{"tools", all}, {"tool_choice", "required"}});
  EXPECT_LE(got.text.size(), max_grammar_source);
  EXPECT_EQ(json::parse(got.text)["functions"].size(), 16u);
  EXPECT_EQ(json::parse(got.text)["functions"][15]["schema"], "");
}

} // namespace troupe::http
