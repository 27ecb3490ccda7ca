#include "runtime/text/oniguruma.hpp"
#include "runtime/text/split_expression.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

std::string translated(std::string_view expression) {
  auto x = pcre2_from_oniguruma(expression);
  return x ? *x : "refused";
}

/// What the expression matches in `text`, with bars between.
std::string matches(std::string_view expression, std::string_view text) {
  auto x = split_expression::compile(expression);
  EXPECT_TRUE(x) << (x ? "" : x.why().message);
  text_part whole{text};
  std::string out;
  for (auto& part : x->split({&whole, 1}))
    if (part.matched)
      out += (out.empty() ? "" : "|") + std::string{part.text};
  return out;
}

} // namespace

TEST(Oniguruma, RewritesWhatPcre2ReadsDifferently) {
  EXPECT_EQ(translated(R"(\s+(?!\S)|[^\s\d])"),
            R"(\p{White_Space}+(?!\P{White_Space})|[^\p{White_Space}\p{Nd}])");
  EXPECT_EQ(translated(R"(\w[\w]\W)"),
            R"([\p{L}\p{M}\p{Nd}\p{Pc}][\p{L}\p{M}\p{Nd}\p{Pc}])"
            R"([^\p{L}\p{M}\p{Nd}\p{Pc}])");
  EXPECT_EQ(translated(R"(\p{Han}\p{^L}\P{Lu})"), R"(\p{sc:Han}\p{^L}\P{Lu})");
  EXPECT_EQ(translated(R"(\u4E00\x41\x{1F600})"), R"(\x{4E00}\x{41}\x{1F600})");
}

TEST(Oniguruma, LeavesTheRest) {
  for (auto same : {R"([^\r\n\p{L}\p{N}]?\p{L}+)", R"(\p{N}{1,3}|a{2}|b{3,})",
                    R"((?i:'s|'t)|(a)(?<=b)(?<!c)(?>d)(?=e))",
                    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)"})
    EXPECT_EQ(translated(same), same);
}

TEST(Oniguruma, RefusesWhatItCannotPromise) {
  for (auto bad :
       {"^a",        "a$",          R"(\b)",          R"(\h)",    R"(\1)",
        R"(\K)",     "[[:alpha:]]", "[a[b]]",         "[a&&b]",   "[]a]",
        "[a",        "(?m:a)",      "(?<name>a)",     "(*SKIP)",  "a{,3}",
        "a{2}+",     "a{",          R"(\pL)",         R"(\p{}")", R"(\p{L)",
        R"(\p{L&})", R"(\x{})",     R"(\x{1234567})", R"(\x4)",   R"(\u12)",
        R"([\W])",   "\\",          "\\\xC3\xA9",     R"(\C)",    R"(\x{4)",
        R"(\x)"})
    EXPECT_EQ(translated(bad), "refused") << bad;
}

TEST(SplitExpression, KnowsWhiteSpaceAsUnicodeDoes) {
  EXPECT_EQ(matches(R"(\s)", "a\u180Eb\u200Bc"), "");
  EXPECT_EQ(matches(R"(\s)", "\u0085\u00A0\u3000\u2028"),
            "\u0085|\u00A0|\u3000|\u2028");
}

TEST(SplitExpression, MatchesTheEmptyTextOnlyBetweenMatches) {
  EXPECT_EQ(matches("a*", "éaab"), "aa");
  auto x = split_expression::compile("(?=b)");
  ASSERT_TRUE(x);
  text_part whole{"abb"};
  std::string out;
  for (auto& part : x->split({&whole, 1}))
    out += std::string{part.text} + "|";
  EXPECT_EQ(out, "a|b|b|");
}
