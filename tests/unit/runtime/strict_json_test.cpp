#include "runtime/json/field_reader.hpp"
#include "runtime/json/strict_json.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace troupe {

namespace {

using nlohmann::json;

std::string trouble(std::string_view text, const json_limits& limits = {}) {
  auto x = parse_json("it", text, limits);
  return x ? "" : x.why().message;
}

std::string nested(size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(StrictJson, ReadsWhatTheGrammarAllows) {
  const std::string text
    = R"({"a":[1,-2,3.5,"x\u00e9\n",true,false,null,{}],"":{"a":[]}})";
  auto x = parse_json("it", text);
  ASSERT_TRUE(x) << x.why().message;
  EXPECT_EQ(*x, json::parse(text));
  for (const auto* scalar : {"0", "\"\"", "null", "true", " [ ] "})
    EXPECT_EQ(*parse_json("it", scalar), json::parse(scalar));
}

TEST(StrictJson, KeepsMembersInTheirOrder) {
  using nlohmann::ordered_json;
  EXPECT_EQ(
    parse_in_order(R"({"b":1,"a":[{"z":2,"y":{"d":[],"c":{}}}],"":0})").dump(),
    R"({"b":1,"a":[{"z":2,"y":{"d":[],"c":{}}}],"":0})");
  for (const auto* scalar :
       {"0", "-1.5", "\"\\u00e9\"", "null", "true", " [ ] "})
    EXPECT_EQ(parse_in_order(scalar), ordered_json::parse(scalar));
  std::string many = "[";
  for (int i = 0; i < 100; ++i) {
    many += i > 0 ? ",{" : "{";
    for (int j = 0; j < i; ++j)
      many += (j > 0 ? ",\"" : "\"") + std::to_string((7919 * j + i) % 10'007)
              + "\":{\"x\":[" + std::to_string(j) + "]}";
    many += "}";
  }
  many += "]";
  EXPECT_EQ(parse_in_order(many).dump(), many);
}

TEST(StrictJson, SaysWhereItIsNone) {
  EXPECT_EQ(trouble("{\"a\":1,}"), "it is no JSON from byte 8 on");
  for (const std::string text :
       {"", "{", "[1 2]", "{\"a\"}", "nul", "01", "1e999", "NaN", "'a'", "[1]]",
        "\"\xff\"", "\"\\ud800\"", "\"a\nb\"", "// x\n1"})
    EXPECT_TRUE(trouble(text).starts_with("it is no JSON from")) << text;
}

TEST(StrictJson, RefusesAKeyThatComesTwiceInOneObject) {
  EXPECT_EQ(trouble(R"({"a":1,"b":2,"a":3})"), "it has the key \"a\" twice");
  EXPECT_EQ(trouble(R"([{"x":{"a":1,"\u0061":2}}])"),
            "it has the key \"a\" twice");
  EXPECT_EQ(trouble(R"({"a":{"a":1},"b":[{"a":1},{"a":1}]})"), "");
}

TEST(StrictJson, KeepsToEveryLimit) {
  EXPECT_EQ(trouble(nested(32)), "");
  EXPECT_EQ(trouble(nested(33)), "it is nested too deeply");
  EXPECT_EQ(trouble(std::string(1'000'000, '[')), "it is nested too deeply");
  json_limits limits;
  limits.max_values = 4;
  EXPECT_EQ(trouble(R"([1,{"a":2}])", limits), "");
  EXPECT_EQ(trouble(R"([1,{"a":[]},2])", limits),
            "it holds more than 4 values");
  limits = {};
  limits.max_keys = 2;
  EXPECT_EQ(trouble(R"({"a":{"x":1,"y":2},"b":{"x":1,"y":2}})", limits), "");
  EXPECT_EQ(trouble(R"([{"a":1,"b":2,"c":3}])", limits),
            "it has more than 2 keys in an object");
}

TEST(FieldReader, TellsTroubleWithItsPlaceAndKind) {
  auto all = field_reader::parse("it",
                                 R"({"a":{"b":{"c":1}},"d":[{"e":"x"}]})");
  auto& in = *all;
  auto b = in.object("a")->object("b");
  b->boolean_or("c", false);
  EXPECT_EQ(b->trouble(), "it: a: b: c must be true or false");
  EXPECT_EQ(b->first_trouble()->path, "a.b.c");
  EXPECT_EQ(b->first_trouble()->fault, field_fault::type);
  auto d = in.within(in.find("d")->front(), "d[0]");
  d.number("f", 0, 1);
  EXPECT_EQ(d.first_trouble()->path, "d[0].f");
  EXPECT_EQ(d.first_trouble()->fault, field_fault::missing);
  EXPECT_EQ(in.trouble(), "");
  in.absorb(d);
  in.absorb(*b);
  EXPECT_EQ(in.trouble(), "it: d[0]: f must be a number from 0 to 1");
}

TEST(FieldReader, OutlivesTheOneThatItCameFrom) {
  auto inner = field_reader::parse("it", R"({"a":{"b":"text"}})")->object("a");
  EXPECT_EQ(inner->text_or("b", ""), "text");
}

TEST(FieldReader, TakesNoNulInAString) {
  for (auto needed : {false, true}) {
    auto in = field_reader::parse("it", R"({"a":"x\u0000y"})");
    needed ? in->text("a") : in->text_or("a", "");
    EXPECT_EQ(in->trouble(), "it: a must not hold the character U+0000");
  }
}

} // namespace

} // namespace troupe
