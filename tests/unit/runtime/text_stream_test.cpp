#include "runtime/text/reasoning_splitter.hpp"
#include "runtime/text/stop_strings.hpp"
#include "runtime/text/utf8.hpp"

#include <gtest/gtest.h>

#include <random>

using namespace troupe;

namespace {

/// Calls `feed` with `text` in random pieces, some of them empty.
template <class Feed>
void in_pieces(std::string_view text, std::mt19937& random, Feed feed) {
  while (!text.empty()) {
    auto size = std::min<size_t>(random() % 5, text.size());
    feed(text.substr(0, size));
    text.remove_prefix(size);
  }
}

struct answer {
  std::string reasoning;
  std::string content;

  bool operator==(const answer&) const = default;

  void add(const answer_piece& piece) {
    reasoning += piece.reasoning;
    content += piece.content;
  }
};

answer split(std::string_view text, bool in_thought, bool may_think,
             std::mt19937& random) {
  reasoning_splitter splitter{in_thought, may_think};
  answer all;
  in_pieces(text, random, [&](auto part) { all.add(splitter.push(part)); });
  all.add(splitter.finish());
  return all;
}

void expect_split(std::string_view text, bool in_thought, answer expected,
                  bool may_think = false) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random{seed};
    EXPECT_EQ(split(text, in_thought, may_think, random), expected)
      << text << ", seed " << seed;
  }
}

stop_strings stops(std::vector<std::string> strings) {
  auto x = stop_strings::make(std::move(strings));
  EXPECT_TRUE(x);
  return *x;
}

/// The definition: tries every end of the text, the first one first.
std::string cut(std::string_view text, const std::vector<std::string>& strings,
                std::optional<size_t>& by) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (size_t i = 0; i < strings.size(); ++i)
      if (text.substr(0, end).ends_with(strings[i])
          && strings[i].size() > longest) {
        longest = strings[i].size();
        by = i;
      }
    if (longest > 0)
      return std::string{text.substr(0, end - longest)};
  }
  return std::string{text};
}

std::string random_text(std::mt19937& random, size_t max_size) {
  std::string text(random() % max_size + 1, ' ');
  for (auto& c : text)
    c = "ab"[random() % 2];
  return text;
}

} // namespace

TEST(ReasoningSplitter, SplitsWhereverTheMarkIsCut) {
  expect_split("hm\n</think>\n\nok", true, {"hm\n", "ok"});
  expect_split("</think>x", true, {"", "x"});
  expect_split("a < b </thin </think>", true, {"a < b </thin ", ""});
  expect_split("a</think>b</think>c", true, {"a", "b</think>c"});
}

TEST(ReasoningSplitter, KeepsThoughtThatNeverEnds) {
  expect_split("never ends </thi", true, {"never ends </thi", ""});
  expect_split("", true, {});
}

TEST(ReasoningSplitter, ThinksWithoutAPromptOnlyIfTheAnswerBeginsSo) {
  expect_split("<think>\nhm</think>ok", false, {"\nhm", "ok"});
  expect_split("I <think> so</think>", false, {"", "I <think> so</think>"});
  expect_split("<thin", false, {"", "<thin"});
}

// As after the output of a tool, where the form opens no answer.
TEST(ReasoningSplitter, DropsTheEndOfAThoughtThatWasNone) {
  expect_split("</think>\n\nok", false, {"", "ok"});
  expect_split("</thin", false, {"", "</thin"});
  expect_split("</thinks>", false, {"", "</thinks>"});
  expect_split("</think></think>", false, {"", "</think>"});
}

TEST(ReasoningSplitter, DropsTheEndOfAThoughtOfWhichNobodyKnew) {
  auto expect = [](std::string_view text, const answer& wanted) {
    expect_split(text, false, wanted, true);
  };
  expect("so 4\n</think>\n\nIt is 4.", {"", "so 4\nIt is 4."});
  expect("so 4\n</think>", {"", "so 4\n"});
  expect("a\n</think>\nb\n</think>\nc", {"", "a\nb\n</think>\nc"});
  expect("a\n<think>\nb\n</think>\nc", {"", "a\n<think>\nb\n</think>\nc"});
  // Within a line it is spoken of.
  for (const auto* text :
       {"so 4</think>", "a</think>b</think>c", "a<think>b</think>c",
        "It ends with </think>\nalways", "a\n</think> ends it", "a\n </think>"})
    expect(text, {"", text});
  expect("<think>hm</think>\na</think>", {"hm", "a</think>"});
  expect("</think>\na</think>", {"", "a</think>"});
  expect("a </thin", {"", "a </thin"});
  expect("a < b </ c <thin", {"", "a < b </ c <thin"});
}

TEST(ReasoningSplitter, DropsLineEndsBehindAThoughtAlone) {
  expect_split("hm</think>\n\n\na\n\nb", true, {"hm", "a\n\nb"});
  expect_split("hm</think>\n", true, {"hm", ""});
  expect_split("hm</think> \nok", true, {"hm", " \nok"});
  expect_split("\n\nok", false, {"", "\n\nok"});
}

TEST(ReasoningSplitter, TakesATokenForTheMarkAndNothingElseWhereItIsOne) {
  using pieces = std::vector<std::string>;
  auto split = [](const pieces& tokens, bool in_thought = false) {
    reasoning_splitter splitter{in_thought, true, thought_marks::token};
    answer all;
    for (const auto& x : tokens)
      all.add(splitter.push(x, is_thought_mark(x)));
    all.add(splitter.finish());
    return all;
  };
  EXPECT_EQ(split({"so 4", "</think>", "\n\n", "4"}), (answer{"", "so 44"}));
  EXPECT_EQ(split({"</think>", "4"}), (answer{"", "4"}));
  EXPECT_EQ(split({"\n", "<think>", "so", "</think>", "\n4"}),
            (answer{"so", "4"}));
  EXPECT_EQ(split({"a", "</think>", "b", "</think>"}),
            (answer{"", "ab</think>"}));
  EXPECT_EQ(split({"a", "<think>", "b", "</think>"}),
            (answer{"", "a<think>b</think>"}));
  for (const pieces& spelt :
       {pieces{"</", "think", "> ends it"}, pieces{"<", "think>", " begins it"},
        pieces{"so\n", "</", "think>", "\n4"}}) {
    std::string text;
    for (const auto& x : spelt)
      text += x;
    EXPECT_EQ(split(spelt), (answer{"", text}));
  }
  // As a grammar behind a thought has it.
  EXPECT_EQ(split({"so", "</", "think", ">4"}, true), (answer{"so", "4"}));
}

TEST(ReasoningSplitter, KnowsAThoughtBehindWhiteSpace) {
  expect_split(" \n<think>hm</think>ok", false, {"hm", "ok"});
  expect_split("\n\n</think>ok", false, {"", "ok"});
  expect_split("\n\n<b>ok</b>", false, {"", "\n\n<b>ok</b>"});
  expect_split(" \n", false, {"", " \n"});
}

TEST(ReasoningSplitter, TakesNothingForAMarkOnceItIsSettled) {
  reasoning_splitter splitter{false, true};
  auto said = splitter.push("a\n</thi").content;
  splitter.settle();
  said += splitter.push("nk>\nb").content;
  EXPECT_EQ(said, "a\n</think>\nb");
}

TEST(ReasoningSplitter, KeepsBackNoMoreThanTheBeginningOfTheMark) {
  reasoning_splitter splitter{true};
  EXPECT_EQ(splitter.push("abc").reasoning, "abc");
  EXPECT_EQ(splitter.push("d</").reasoning, "d");
  EXPECT_EQ(splitter.push("/").reasoning, "<//");
  EXPECT_EQ(splitter.push("</think").reasoning, "");
  EXPECT_EQ(splitter.push(">e").content, "e");
}

TEST(StopStrings, StopAtTheFirstEndAndTheLongestThere) {
  for (uint32_t seed = 0; seed < 3000; ++seed) {
    std::mt19937 random{seed};
    std::vector<std::string> strings(random() % 4);
    for (auto& string : strings)
      string = random_text(random, 6);
    auto text = random_text(random, 30);
    std::optional<size_t> by;
    auto expected = cut(text, strings, by);
    auto matcher = stops(strings);
    std::string seen;
    in_pieces(text, random, [&](auto part) { seen += matcher.push(part); });
    seen += matcher.finish();
    ASSERT_EQ(seen, expected) << text << ", seed " << seed;
    ASSERT_EQ(matcher.stopped_by(), by) << text << ", seed " << seed;
  }
}

TEST(StopStrings, KeepBackOnlyWhatMayBeABeginning) {
  auto matcher = stops({"\n\nHuman:", "END"});
  EXPECT_EQ(matcher.push("say\n"), "say");
  EXPECT_EQ(matcher.push("E"), "\n");
  EXPECT_EQ(matcher.push("N"), "");
  EXPECT_EQ(matcher.push("X"), "ENX");
  EXPECT_EQ(matcher.push("\n\nHum"), "");
  EXPECT_EQ(matcher.push("an: no"), "");
  EXPECT_EQ(matcher.stopped_by(), 0u);
  EXPECT_EQ(matcher.push("more"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopStrings, EmitOnlyWholeCharacters) {
  auto matcher = stops({"你好"});
  EXPECT_EQ(matcher.push("佢你"), "佢");
  EXPECT_EQ(matcher.push("们"), "你们");
}

TEST(StopStrings, RefuseWhatIsOutsideTheLimits) {
  EXPECT_FALSE(stop_strings::make({""}));
  EXPECT_FALSE(stop_strings::make({std::string(257, 'a')}));
  EXPECT_FALSE(stop_strings::make({"\xE4\xBD"}));
  EXPECT_FALSE(stop_strings::make(std::vector<std::string>(17, "a")));
  EXPECT_TRUE(stop_strings::make(std::vector<std::string>(16, "a")));
  EXPECT_TRUE(stop_strings::make({std::string(256, 'a')}));
}

TEST(Utf8, ReplacesEachMaximalPartOnce) {
  auto r = std::string{replacement_character};
  EXPECT_EQ(repaired_utf8("a\x80z"), "a" + r + "z");
  EXPECT_EQ(repaired_utf8("\xE4\xBD"), r);
  EXPECT_EQ(repaired_utf8("\xE4\xBDx"), r + "x");
  EXPECT_EQ(repaired_utf8("\xF0\x9F\x98\xF0\x9F\x98\x80"), r + "😀");
  EXPECT_EQ(repaired_utf8("\xC0\xAF"), r + r);         // overlong
  EXPECT_EQ(repaired_utf8("\xE0\x80\xAF"), r + r + r); // overlong
  EXPECT_EQ(repaired_utf8("\xED\xA0\x80"), r + r + r); // surrogate
  EXPECT_EQ(repaired_utf8("\xF4\x90\x80\x80"), r + r + r + r);
  EXPECT_EQ(repaired_utf8("\xF1\x80\x80\xC3\xA9"), r + "é");
}

TEST(Utf8, IsValidExactlyIfNothingIsReplaced) {
  for (uint32_t seed = 0; seed < 20000; ++seed) {
    std::mt19937 random{seed};
    std::string text(random() % 5, ' ');
    for (auto& c : text)
      c = "\x41\x80\xBF\xC1\xC3\xE0\xA0\xE4\xED\x9F\xF0\x90\xF4\x8F"[random()
                                                                     % 14];
    EXPECT_EQ(is_utf8(text), repaired_utf8(text) == text) << seed;
    EXPECT_TRUE(is_utf8(repaired_utf8(text))) << seed;
  }
}
