#include "tests/unit/runtime/grammar_texts.hpp"

#include "runtime/grammar/tool_grammar.hpp"

using namespace troupe;

namespace {

using enum grammar_kind;

struct example {
  const char* source;
  std::vector<const char*> in;
  std::vector<const char*> out;
};

void check(grammar_kind kind, const std::vector<example>& all) {
  for (auto& x : all) {
    for (auto text : x.in)
      EXPECT_TRUE(accepts({kind, x.source}, text)) << x.source << " " << text;
    for (auto text : x.out)
      EXPECT_FALSE(accepts({kind, x.source}, text)) << x.source << " " << text;
  }
}

} // namespace

TEST(RegexGrammar, HasTheTextsOfTheExpression) {
  const std::string many(1000, 'a');
  check(regex, {{"abc", {"abc"}, {"ab", "abcd", ""}},
                {"^a|b$", {"a", "b"}, {"ab"}},
                {"a*b+c?", {"b", "aabbc", "bc"}, {"ac", "c"}},
                {"(ab){2,3}", {"abab", "ababab"}, {"ab", "abababab", "aba"}},
                {"(a?){3}b", {"b", "ab", "aaab"}, {"aaaab"}},
                {"(a*)*b", {"b", "aab"}, {"a"}},
                {"(a|b*){2,}c", {"c", "abbac"}, {"d"}},
                {"[^a-c]x",
                 {"dx", "éx", "日x"},
                 {"ax", "\xff"
                        "x"}},
                {"[\\d_-]+", {"1_-"}, {"a"}},
                {"\\w\\s\\S", {"a b"}, {"a  "}},
                {".", {"a", "é", "😀"}, {"\n", "", "\xed\xa0\x80"}},
                {"\\x41\\u00e9\\u{1F600}", {"Aé😀"}, {"A"}},
                {"(?:x|(?<n>y))\\.", {"x.", "y."}, {"xy"}},
                {"[α-ω]+", {"αβγω"}, {"a", "Α"}},
                {"a{2}{", {"aa{"}, {}},
                {"a{1000}", {many.c_str()}, {"a"}}});
}

TEST(RegexGrammar, RefusesByNameWhatIsNotRegular) {
  for (auto [source, why] :
       {std::pair{"(?=a)", "groups of the kind '(?=a' are not supported"},
        {"(?<!a)b", "groups of the kind '(?<!' are not supported"},
        {"(a)\\1", "'\\1' is not supported"},
        {"\\bx", "'\\b' is not supported"},
        {"\\p{L}", "'\\p' is not supported"},
        {"a^", "a '^' stands where it is not supported"},
        {"(a", "a ')' is missing"},
        {"a)", "there is a ')' too many"},
        {"[b-a]", "a range of a class makes no sense"},
        {"[a", "a ']' is missing"},
        {"*a", "a '*' stands where it is not supported"},
        {"a**", "a repetition of a repetition needs a group"},
        {"a{3,2}", "a repetition has at most 100000 rounds, and no fewer than "
                   "at least"},
        {"a$b", "'$' is supported at the end alone"},
        {"[^\\x00-\\u{10FFFF}]", "no text fulfils it"},
        {"a{0}", "nothing but the empty text fulfils it"},
        {"", "nothing but the empty text fulfils it"}})
    EXPECT_EQ(why_not({regex, source}), why) << source;
  EXPECT_EQ(why_not({regex, std::string(65'537, 'a')}),
            "it has more than 65536 bytes");
  EXPECT_EQ(why_not({regex, std::string(100, '(')}),
            "groups are nested too deep");
  std::string large = "(" + std::string(60'000, 'a') + ")";
  EXPECT_EQ(why_not({regex, large}), "");
  EXPECT_EQ(why_not({regex, "(a|b|ab|ba){100000}"}), "");
}

TEST(ChoiceGrammar, IsOneOfItsTexts) {
  check(choice,
        {{R"(["a", "ab", "\u00e9\""])", {"a", "ab", "é\""}, {"b", "aab", ""}}});
  EXPECT_NE(why_not({choice, "[]"}), "");
  EXPECT_NE(why_not({choice, R"(["a", ""])"}), "");
  EXPECT_NE(why_not({choice, "[1]"}), "");
}

TEST(GbnfGrammar, HasTheTextsOfItsRules) {
  check(gbnf, {{"root ::= \"a\" b | \"c\"\n\nb ::= [x-z]{2,3} # end\n",
                {"axy", "azzz", "c"},
                {"a", "ax", "cx"}},
               {"root ::= (\"(\" root \")\")? \"x\"*\n",
                {"", "(x)xx", "((x))"},
                {"(", "((x)", "y"}},
               {"root ::= [^\\n\\]] . \"\\x41\\u00e9\" (\n \"b\"\n | \"c\" )+",
                {"aéAébc"},
                {"aaA"}}});
}

TEST(GbnfGrammar, RefusesWithTheLine) {
  for (auto [source, why] :
       {std::pair{"a ::= \"b\"", "line 1: there is no rule 'root'"},
        {"root ::= b", "line 1: there is no rule 'b'"},
        {"root ::= root \"a\" | \"b\"",
         "a rule calls itself before anything is written"},
        {"root ::= a root | \"c\"\na ::= \"b\"*\n",
         "a rule calls itself before anything is written"},
        {"root ::= \"a\" root", "no text fulfils it"},
        {"root ::= \"a", "line 1: a '\"' is missing"},
        {"root ::= \"a\"\n= 2", "line 2: '=' makes no sense here"},
        {"root ::= \"a\"\nroot ::= \"b\"", "line 2: there are two rules "
                                           "'root'"}})
    EXPECT_EQ(why_not({gbnf, source}), why) << source;
}

TEST(ToolGrammar, HasTheCallsOfBothStyles) {
  const std::string schema
    = R"({"type": "object", "properties": {"x": {"type": "integer"}},
          "required": ["x"]})";
  tool_calls_source x;
  x.functions = {{"f", schema}, {"g", ""}};
  const std::string f = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n"
                        "```json\n{\"x\": 1}\n```<｜tool▁call▁end｜>";
  const std::string begin = "<｜tool▁calls▁begin｜>";
  const std::string end = "<｜tool▁calls▁end｜>";
  EXPECT_TRUE(accepts({tools, render(x)}, begin + f + end));
  EXPECT_FALSE(accepts({tools, render(x)}, begin + f + "\n" + f + end));
  EXPECT_FALSE(accepts({tools, render(x)}, "I say" + begin + f + end));
  x.may_call_more = x.may_speak = true;
  EXPECT_TRUE(accepts({tools, render(x)}, begin + f + "\n" + f + end));
  EXPECT_TRUE(accepts({tools, render(x)}, "I say <" + begin + f + end));
  EXPECT_TRUE(accepts({tools, render(x)}, "I say"));
  EXPECT_FALSE(accepts({tools, render(x)}, "I say" + begin));
  x = {tool_style::plain, true, false, false, {{"f", schema}}};
  EXPECT_TRUE(accepts({tools, render(x)}, "{\"x\":12}<｜tool▁call▁end｜>"));
  EXPECT_FALSE(accepts({tools, render(x)}, "{\"x\":\"\"}<｜tool▁call▁end｜>"));
  x.functions[0].schema = R"({"not": {}})";
  EXPECT_EQ(why_not({tools, render(x)}),
            "the parameters of 'f': at #: 'not' is not supported here");
}
