#include "runtime/text/tool_call_splitter.hpp"

#include "runtime/text/chat_turns.hpp"

#include <gtest/gtest.h>

namespace troupe {

namespace {

// Pieces of these lengths cut every mark somewhere.
constexpr size_t piece_sizes[] = {1, 2, 3, 5, 7, 11, 1000};

struct heard {
  std::string text;
  std::vector<std::pair<std::string, std::string>> calls;

  friend bool operator==(const heard&, const heard&) = default;
};

heard split(tool_style style, const std::string& text, size_t piece_size,
            const std::string& begun = "") {
  tool_call_splitter splitter{style, begun};
  heard out;
  auto hear = [&](const spoken_piece& piece) {
    out.text += piece.text;
    for (auto& x : piece.calls) {
      if (x.is_first)
        out.calls.emplace_back(x.name, "");
      EXPECT_EQ(x.index + 1, out.calls.size());
      out.calls.at(x.index).second += x.arguments;
    }
  };
  for (size_t at = 0; at < text.size(); at += piece_size)
    hear(splitter.push(std::string_view{text}.substr(at, piece_size)));
  hear(splitter.finish());
  EXPECT_EQ(splitter.num_calls(), out.calls.size());
  return out;
}

TEST(ToolCallSplitter, ReadsFencedCallsHoweverTheyAreCut) {
  const std::string text
    = "Let me see.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function"
      "<｜tool▁sep｜>add\n```json\n{\"a\": 1, \"b\": \"`\"}\n```"
      "<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n"
      "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
  const heard want{"Let me see.",
                   {{"add", "{\"a\": 1, \"b\": \"`\"}"}, {"now", "{}"}}};
  for (auto size : piece_sizes)
    EXPECT_EQ(split(tool_style::fenced, text, size), want) << size;
}

TEST(ToolCallSplitter, ReadsPlainCallsHoweverTheyAreCut) {
  const std::string text
    = "So<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{\"a\":1}"
      "<｜tool▁call▁end｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}"
      "<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
  const heard want{"So", {{"add", "{\"a\":1}"}, {"now", "{}"}}};
  for (auto size : piece_sizes)
    EXPECT_EQ(split(tool_style::plain, text, size), want) << size;
}

TEST(ToolCallSplitter, TakesWhatIsNoCallForText) {
  for (std::string text :
       {"", "plain", "<｜tool▁calls▁beg", "<｜tool", "a < b <｜tool▁sep｜> c"})
    for (auto size : piece_sizes)
      EXPECT_EQ(split(tool_style::fenced, text, size), (heard{text, {}}))
        << text;
}

TEST(ToolCallSplitter, KeepsWhatCameOfACallThatWasCutOff) {
  const std::string begin
    = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>";
  for (auto size : piece_sizes) {
    EXPECT_EQ(split(tool_style::fenced, begin + "ad", size), heard{});
    EXPECT_EQ(split(tool_style::fenced, begin + "add\n```json\n{\"a\":", size),
              (heard{"", {{"add", "{\"a\":"}}}));
    EXPECT_EQ(split(tool_style::fenced, begin + "add\n```json\n{}\n```", size),
              (heard{"", {{"add", "{}"}}}));
  }
}

TEST(ToolCallSplitter, TakesNothingOfACutEndForArguments) {
  const std::string begin = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>";
  const std::string fenced = begin + "function<｜tool▁sep｜>add\n```json\n";
  const std::string plain = begin + "add<｜tool▁sep｜>";
  const std::string end = "<｜tool▁call▁end｜>";
  const heard want{"", {{"add", "{\"a\": 1}"}}};
  for (auto size : piece_sizes) {
    for (size_t n = 0; n <= ("\n```" + end).size(); ++n)
      EXPECT_EQ(split(tool_style::fenced,
                      fenced + "{\"a\": 1}" + ("\n```" + end).substr(0, n),
                      size),
                want)
        << n;
    for (size_t n = 2; n <= end.size(); ++n)
      EXPECT_EQ(
        split(tool_style::plain, plain + "{\"a\": 1}" + end.substr(0, n), size),
        want)
        << n;
  }
  // What may be theirs is.
  for (std::string text : {"{\"a\": \"<", "{\"a\": \"``"}) {
    const heard all{"", {{"add", text}}};
    EXPECT_EQ(split(tool_style::fenced, fenced + text, 1), all);
    EXPECT_EQ(split(tool_style::plain, plain + text, 1), all);
  }
}

TEST(ToolCallSplitter, GoesOnFromACallThatHasBegun) {
  for (auto size : piece_sizes) {
    EXPECT_EQ(split(tool_style::fenced, "{}\n```<｜tool▁call▁end｜>", size,
                    begun_call(tool_style::fenced, "add")),
              (heard{"", {{"add", "{}"}}}));
    EXPECT_EQ(split(tool_style::plain, "{}<｜tool▁call▁end｜>", size,
                    begun_call(tool_style::plain, "add")),
              (heard{"", {{"add", "{}"}}}));
  }
}

TEST(ToolCallSplitter, KeepsNothingBackThatIsCertain) {
  tool_call_splitter splitter{tool_style::fenced,
                              begun_call(tool_style::fenced, "f")};
  auto piece = splitter.push("{\"a\":");
  ASSERT_EQ(piece.calls.size(), 2u);
  EXPECT_EQ(piece.calls[0].name, "f");
  EXPECT_EQ(piece.calls[1].arguments, "{\"a\":");
  piece = splitter.push(" 1}\n``");
  ASSERT_EQ(piece.calls.size(), 1u);
  EXPECT_EQ(piece.calls[0].arguments, " 1}");
}

TEST(ToolCallSplitter, CountsCallsThatAreWhole) {
  tool_call_splitter splitter{tool_style::plain};
  splitter.push("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{");
  EXPECT_EQ(splitter.num_calls(), 1u);
  EXPECT_EQ(splitter.num_whole(), 0u);
  splitter.push("}<｜tool▁call▁end｜>");
  EXPECT_EQ(splitter.num_whole(), 1u);
}

} // namespace

} // namespace troupe
