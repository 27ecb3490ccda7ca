/// Ids, text and streamed pieces against those of Hugging Face tokenizers.

#include "tests/golden/tokenizer_data.hpp"

#include "runtime/text/detokenizer.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

using id_list = std::vector<int32_t>;

class Tokenizer : public testing::TestWithParam<const char*> {
protected:
  const tokenizer& tokens() const {
    return tokenizer_named(GetParam());
  }

  void expect_ids(const std::string& file, specials mode, size_t num_lines) {
    auto lines = tokenizer_lines(file);
    ASSERT_EQ(lines.size(), num_lines);
    for (auto& line : lines) {
      auto text = line["text"].get<std::string>();
      EXPECT_EQ(tokens().encode(text, mode), line[GetParam()].get<id_list>())
        << line["text"].dump().substr(0, 200);
    }
  }
};

std::vector<std::string> pieces_of(const tokenizer& tokens, const id_list& ids,
                                   bool skip_special) {
  detokenizer stream{tokens, skip_special};
  std::vector<std::string> pieces;
  for (auto id : ids)
    pieces.push_back(stream.push(id));
  auto rest = stream.finish();
  if (pieces.empty())
    EXPECT_EQ(rest, "");
  else
    pieces.back() += rest;
  return pieces;
}

} // namespace

TEST_P(Tokenizer, GivesTheGoldenIds) {
  expect_ids("strings.jsonl", specials::recognised, 725);
}

TEST_P(Tokenizer, LeavesTypedSpecialTokensAsText) {
  expect_ids("strings-plain.jsonl", specials::plain, 105);
}

TEST_P(Tokenizer, DecodesToTheGoldenText) {
  size_t num = 0;
  for (auto& line : tokenizer_lines("decode.jsonl"))
    if (line["tokenizer"] == GetParam()) {
      auto ids = line["ids"].get<id_list>();
      EXPECT_EQ(tokens().decode(ids), line["text"]);
      EXPECT_EQ(tokens().decode(ids, true), line["text_without_special"]);
      ++num;
    }
  EXPECT_GT(num, 200u);
}

TEST_P(Tokenizer, StreamsTheGoldenPieces) {
  for (auto& line : tokenizer_lines("decode.jsonl"))
    if (line["tokenizer"] == GetParam()) {
      auto ids = line["ids"].get<id_list>();
      EXPECT_EQ(pieces_of(tokens(), ids, false),
                line["pieces"].get<std::vector<std::string>>())
        << line["ids"];
    }
}

TEST_P(Tokenizer, StreamsWithoutSpecialTokensWhatItDecodesWithoutThem) {
  for (auto& line : tokenizer_lines("decode.jsonl"))
    if (line["tokenizer"] == GetParam()) {
      std::string text;
      for (auto& piece : pieces_of(tokens(), line["ids"], true))
        text += piece;
      EXPECT_EQ(text, line["text_without_special"]);
    }
}

INSTANTIATE_TEST_SUITE_P(Golden, Tokenizer, testing::Values("nano", "deepseek"),
                         [](auto& info) { return std::string{info.param}; });
