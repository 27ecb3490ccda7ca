#include "runtime/json/strict_json.hpp"
#include "tests/unit/runtime/grammar_texts.hpp"

#include <nlohmann/json.hpp>

using namespace troupe;
using nlohmann::json;

namespace {

using enum grammar_kind;

bool fits(const std::string& schema, const std::string& text) {
  return accepts({json_schema, schema}, text);
}

/// As JSON Schema says it, of the words that random schemas have.
bool is_valid(const json& schema, const json& x, const json& root) {
  if (schema.is_boolean())
    return schema == true;
  if (schema.contains("$ref"))
    return is_valid(root, x, root);
  if (schema.contains("anyOf"))
    return std::ranges::any_of(
      schema["anyOf"], [&](auto& one) { return is_valid(one, x, root); });
  if (schema.contains("enum"))
    return std::ranges::find(schema["enum"], x) != schema["enum"].end();
  auto type = schema.value("type", "");
  if (type == "object") {
    if (!x.is_object())
      return false;
    for (auto& name : schema["required"])
      if (!x.contains(name))
        return false;
    for (auto& [name, value] : x.items())
      if (!is_valid(schema["properties"].contains(name)
                      ? schema["properties"][name]
                      : schema["additionalProperties"],
                    value, root))
        return false;
    return true;
  }
  if (type == "array")
    return x.is_array() && x.size() >= schema["minItems"]
           && x.size() <= schema["maxItems"]
           && std::ranges::all_of(
             x, [&](auto& y) { return is_valid(schema["items"], y, root); });
  if (type == "integer")
    return x.is_number_integer() && x >= schema["minimum"]
           && x <= schema["maximum"];
  return (type == "string" && x.is_string())
         || (type == "number" && x.is_number())
         || (type == "boolean" && x.is_boolean())
         || (type == "null" && x.is_null());
}

json random_schema(std::mt19937_64& rng, int depth) {
  auto one = [&] { return random_schema(rng, depth - 1); };
  switch (rng() % (depth > 0 ? 9 : 6)) {
    case 0:
      return {{"type", "string"}};
    case 1:
      return {{"type", "number"}};
    case 2: {
      auto least = int64_t(rng() % 4000) - 2000;
      return {{"type", "integer"},
              {"minimum", least},
              {"maximum", least + int64_t(rng() % 3000)}};
    }
    case 3:
      return {{"enum", {"a", "an \"x\"", 12, nullptr, {1, 2}}}};
    case 4:
      return {{"type", "boolean"}};
    case 5:
      return {{"type", "null"}};
    case 6:
      return {{"anyOf", {one(), one()}}};
    case 7: {
      auto least = rng() % 4;
      return {{"type", "array"},
              {"items", one()},
              {"minItems", least},
              {"maxItems", least + rng() % 4}};
    }
    default:
      break;
  }
  json out{{"type", "object"},
           {"properties", json::object()},
           {"required", json::array()},
           {"additionalProperties", false}};
  for (auto name : {"a", "ab", "b", "\xc3\xa9"}) {
    if (rng() % 3 == 0)
      continue;
    out["properties"][name] = one();
    if (rng() % 2)
      out["required"].push_back(name);
  }
  if (rng() % 3 == 0)
    out["additionalProperties"] = one();
  if (rng() % 4 == 0)
    out["properties"]["self"] = {{"$ref", "#"}};
  return out;
}

} // namespace

TEST(JsonGrammar, OfAnyObject) {
  auto is_one = [](const std::string& x) {
    return accepts({json_object, ""}, x);
  };
  for (auto text :
       {"{}", R"({"a":1})", R"({"a": [1, {"b": null}], "c": "\u00e9\n😀"})",
        "{\n  \"a\": {\n    \"b\": [],\n    \"c\": -1.5e-7\n  }\n}",
        R"({"\ud83d\ude00": true})"})
    EXPECT_TRUE(is_one(text)) << text;
  for (auto text :
       {"", "[]", "{", "{} ", "{\n\n}", R"({"a" :1})", R"({"a":01})",
        R"({"a":"\ud83d"})", R"({"a":1,})", "{\"a\":\"\n\"}", R"({"a":1e999})",
        "{'a':1}", R"({"a":.5})", R"({"a":"\x"})", "{\"a\":\"\xff\"}"})
    EXPECT_FALSE(is_one(text)) << text;
}

TEST(JsonGrammar, OfSchemas) {
  const std::string object
    = R"({"type": "object", "properties": {"a": {"type": "integer"},
          "b": {"type": ["string", "null"]}}, "required": ["b"]})";
  EXPECT_TRUE(fits(object, R"({"a": 1, "b": "x"})"));
  EXPECT_TRUE(fits(object, R"({"b":null})"));
  EXPECT_FALSE(fits(object, R"({"a": 1})"));
  EXPECT_FALSE(fits(object, R"({"b": null, "a": 1})")) << "in their order";
  EXPECT_FALSE(fits(object, R"({"b": null, "c": 1})"));
  const std::string open
    = R"({"properties": {"a": {"type": "integer"}, "ab": {}},
          "additionalProperties": {"type": "boolean"}})";
  EXPECT_TRUE(fits(open, R"({"a": 1, "b": true, "": false, "abc": true})"));
  EXPECT_TRUE(fits(open, "{}"));
  EXPECT_FALSE(fits(open, R"({"b": true, "a": true})"));
  EXPECT_FALSE(fits(open, R"({"\u0061": true})"));
  const std::string tuple = R"({"prefixItems": [{"const": 1}, {"type": "null"}],
          "items": {"type": "boolean"}, "minItems": 1, "maxItems": 4})";
  for (auto text : {"[1]", "[1, null]", "[1,null,true,false]"})
    EXPECT_TRUE(fits(tuple, text)) << text;
  for (auto text : {"[]", "[null]", "[1, true]", "[1,null,true,true,true]"})
    EXPECT_FALSE(fits(tuple, text)) << text;
  EXPECT_TRUE(fits(R"({"pattern": "^\"[a-c]+\n$"})", R"("\"ab\n")"));
  EXPECT_TRUE(fits(R"({"pattern": "b{2}"})", R"("xbby")"));
  EXPECT_FALSE(fits(R"({"pattern": "b{2}"})", R"("xby")"));
  EXPECT_TRUE(fits(R"({"minLength": 1, "maxLength": 2})", R"("é\u00e9")"));
  EXPECT_FALSE(fits(R"({"minLength": 1, "maxLength": 2})", R"("abc")"));
  EXPECT_TRUE(
    fits(R"({"type": "string", "format": "date"})", R"("2024-02-29")"));
  EXPECT_FALSE(
    fits(R"({"type": "string", "format": "date"})", R"("2024-02-30")"));
  EXPECT_TRUE(fits(R"({"$defs": {"n": {"anyOf": [{"type": "null"},
      {"type": "array", "items": {"$ref": "#/$defs/n"}}]}},
      "$ref": "#/$defs/n"})",
                   "[[], [null, [[]]]]"));
  EXPECT_TRUE(fits(R"({"type": "number", "minimum": 0})", "0.25"));
  EXPECT_FALSE(fits(R"({"type": "number", "minimum": 0})", "-1"));
}

TEST(JsonGrammar, KnowsTheRangesOfWholeNumbers) {
  std::mt19937_64 rng{5};
  for (int i = 0; i < 60; ++i) {
    auto least = int64_t(rng() % 3000) - 1500;
    auto most = least + int64_t(rng() % 1500);
    json schema{
      {"type", "integer"}, {"minimum", least}, {"exclusiveMaximum", most + 1}};
    grammar_matcher all{compiled({json_schema, schema.dump()})};
    for (auto x = least - 20; x <= most + 20; ++x) {
      auto at = all.begin();
      for (auto c : std::to_string(x))
        at = all.after(at, static_cast<uint8_t>(c));
      ASSERT_EQ(all.may_end(at), x >= least && x <= most) << schema << " " << x;
    }
  }
}

TEST(JsonGrammar, KeepsToATypeBesideOtherWords) {
  auto takes = [](const char* schema, std::string_view text) {
    grammar_matcher all{compiled({json_schema, schema})};
    auto at = all.begin();
    for (auto c : text)
      at = all.after(at, static_cast<uint8_t>(c));
    return all.may_end(at);
  };
  auto some = R"({"type": ["string", "integer"], "enum": [1, "a", 1.5, null]})";
  EXPECT_TRUE(takes(some, "1"));
  EXPECT_TRUE(takes(some, "\"a\""));
  EXPECT_FALSE(takes(some, "1.5"));
  EXPECT_FALSE(takes(some, "null"));
  EXPECT_TRUE(takes(R"({"type": "number", "const": 1})", "1"));
  auto why = [](const char* schema) { return why_not({json_schema, schema}); };
  EXPECT_EQ(why(R"({"type": "string", "enum": [1]})"),
            "at #: no value of 'enum' is of its 'type'");
  EXPECT_EQ(why(R"({"type": "integer", "const": 1.5})"),
            "at #: no value of 'const' is of its 'type'");
  for (auto* other :
       {R"({"type": "integer"})", "{}", "true", R"({"enum": ["a", 1]})",
        R"({"minimum": 1})", R"({"$ref": "#/$defs/a"})",
        R"({"anyOf": [{"type": "string"}, {"const": 1}]})"}) {
    auto schema = R"({"type": "string", "$defs": {"a": {"type": "null"}}, )"
                  R"("anyOf": [{"type": "string"}, )"
                  + std::string{other} + "]}";
    EXPECT_EQ(why(schema.c_str()),
              "at #: 'anyOf' may be of other types than 'type' says")
      << other;
  }
  for (auto* fits :
       {R"({"type": "string", "anyOf": [{"minLength": 1}, {"enum": ["a"]}]})",
        R"({"type": "number", "oneOf": [{"type": "integer"}, {"const": 1}]})",
        R"({"type": "object", "$ref": "#/$defs/a", "$defs": {"a": {"anyOf":
            [{"required": ["x"]}, {"properties": {"y": {"$ref": "#"}}}]}}})"})
    EXPECT_EQ(why(fits), "") << fits;
}

TEST(JsonGrammar, KnowsWhichDaysThereAre) {
  grammar_matcher all{
    compiled({json_schema, R"({"type": "string", "format": "date"})"})};
  auto is_day = [&](const std::string& day) {
    auto at = all.begin();
    for (auto c : '"' + day + '"')
      at = all.after(at, static_cast<uint8_t>(c));
    return all.may_end(at);
  };
  for (auto* day : {"2024-02-29", "2000-02-29", "1996-02-29", "2023-02-28",
                    "2023-01-31", "2023-11-30"})
    EXPECT_TRUE(is_day(day)) << day;
  for (auto* day : {"2023-02-29", "1900-02-29", "2024-02-30", "2023-04-31",
                    "2023-13-01", "2023-00-10", "2023-01-00"})
    EXPECT_FALSE(is_day(day)) << day;
}

TEST(JsonGrammar, RefusesRangesOfLongerNumbers) {
  for (auto* range :
       {R"("minimum": 1000000000000000000, "maximum": 1000000000000000009)",
        R"("minimum": 1000000000000000)", R"("maximum": -1e15)",
        R"("exclusiveMinimum": 999999999999999)",
        R"("exclusiveMaximum": -999999999999999)", R"("minimum": 1e300)"})
    EXPECT_EQ(why_not({json_schema,
                       R"({"type": "integer", )" + std::string{range} + "}"}),
              "at #: no whole number of up to 15 digits is in its range")
      << range;
  EXPECT_EQ(
    why_not({json_schema,
             R"({"type": "integer", "minimum": -1e300, "maximum": 1e300})"}),
    "");
}

TEST(JsonGrammar, RefusesByNameWhatIsNotSupported) {
  auto why = [](const char* schema) { return why_not({json_schema, schema}); };
  EXPECT_EQ(
    why(R"({"properties": {"a": {"type": "number", "multipleOf": 2}}})"),
    "at #/properties/a: 'multipleOf' is not supported here");
  EXPECT_EQ(why(R"({"allOf": [{}, {}]})"),
            "at #: 'allOf' of several schemas is not supported");
  EXPECT_EQ(why(R"({"$ref": "http://x"})"),
            "at #: only a '$ref' into the schema itself is supported");
  EXPECT_EQ(why(R"({"$ref": "#/$defs/a"})"), "at #: there is no #/$defs/a");
  EXPECT_EQ(why(R"({"$ref": "#"})"), "no text fulfils it");
  EXPECT_EQ(why(R"({"anyOf": [{"$ref": "#"}, {"type": "null"}]})"),
            "a rule calls itself before anything is written");
  EXPECT_EQ(why(R"({"type": "number", "maximum": 2})"),
            "at #: 'maximum' is not supported here");
  EXPECT_EQ(why(R"({"type": "text"})"), "at #: there is no type 'text'");
  EXPECT_EQ(why(R"({"properties": {"a": {}}, "required": ["b"]})"),
            "at #: 'required' names 'b', which is no property");
  EXPECT_EQ(why(R"x({"pattern": "(?=a)"})x"),
            "at #: 'pattern': groups of the kind '(?=a' are not supported");
  EXPECT_EQ(why("[]"), "at #: a schema is an object, true or false");
  EXPECT_EQ(why(R"({"properties": {"a": {"$ref": "#"}}, "required": ["a"]})"),
            "no text fulfils it");
}

TEST(JsonGrammar, OfRandomSchemasComesToValidTexts) {
  size_t num_whole = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    std::mt19937_64 rng{seed};
    auto schema = random_schema(rng, 3);
    SCOPED_TRACE("seed " + std::to_string(seed) + " " + schema.dump());
    auto program = compile_grammar({json_schema, schema.dump()});
    if (!program) { // of the kind that needs itself
      EXPECT_EQ(program.why().message, "no text fulfils it");
      continue;
    }
    grammar_masks masks{*program, some_vocabulary()};
    auto answer = random_answer(masks, seed, 400);
    auto at = masks.begin();
    for (auto id : answer)
      at = masks.after(at, id);
    if (!grammar_masks::may_end(at)) {
      EXPECT_EQ(answer.size(), 400u) << "there is always a way on";
      continue;
    }
    ++num_whole;
    auto text = some_tokenizer().decode(answer);
    auto value = json::parse(text, nullptr, false);
    ASSERT_FALSE(value.is_discarded()) << text;
    EXPECT_TRUE(is_valid(schema, value, schema)) << text;
  }
  EXPECT_GT(num_whole, 60u);
}
