#include "runtime/text/tokenizer.hpp"

#include "runtime/text/byte_level.hpp"
#include "runtime/text/detokenizer.hpp"
#include "runtime/text/tokenize_lines.hpp"
#include "tests/places.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <thread>

using namespace troupe;
using nlohmann::json;

namespace {

using id_list = std::vector<int32_t>;

std::filesystem::path nano_path() {
  return source_dir() / "examples/nano/model/tokenizer.json";
}

std::string nano_text() {
  std::ifstream in{nano_path(), std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

const tokenizer& nano() {
  static const tokenizer tokens = std::move(*tokenizer::load(nano_path()));
  return tokens;
}

/// Bytes and the merges of "a": aa, aaaa; of "b": ab. Ids are bytes' values.
json small_file() {
  json vocab;
  for (int byte = 0; byte < 256; ++byte) {
    auto c = static_cast<char>(byte);
    vocab[to_byte_alphabet({&c, 1})] = byte;
  }
  vocab["aa"] = 256;
  vocab["aaaa"] = 257;
  vocab["ab"] = 258;
  vocab["Ġx"] = 259;
  json byte_level{
    {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  return {{"added_tokens", json::array()},
          {"pre_tokenizer", byte_level},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocab},
            {"merges", {"a a", json::array({"aa", "aa"}), "a b"}}}}};
}

json added(const std::string& content, int id, bool normalized = false) {
  return {{"content", content}, {"id", id}, {"normalized", normalized}};
}

tokenizer parsed(const json& file) {
  auto x = tokenizer::parse(file.dump());
  EXPECT_TRUE(x) << (x ? "" : x.why().message);
  return std::move(*x);
}

std::string why(const json& file) {
  auto x = tokenizer::parse(file.dump());
  return x ? "it was accepted" : x.why().message;
}

json split(const std::string& regex, const std::string& behavior = "Isolated") {
  return {{"type", "Split"},
          {"pattern", {{"Regex", regex}}},
          {"behavior", behavior},
          {"invert", false}};
}

/// The small file with one Split before its ByteLevel.
json with_split(const json& step) {
  auto file = small_file();
  auto last = file["pre_tokenizer"];
  file["pre_tokenizer"] = {{"type", "Sequence"},
                           {"pretokenizers", {step, last}}};
  return file;
}

} // namespace

TEST(Tokenizer, MergesTheLowestRankFirstAndTheLeftmostOfEquals) {
  auto tokens = parsed(small_file());
  EXPECT_EQ(tokens.encode("aaa", specials::plain), (id_list{256, 'a'}));
  EXPECT_EQ(tokens.encode("aaab", specials::plain), (id_list{256, 258}));
  EXPECT_EQ(tokens.encode("aaaaaaa", specials::plain),
            (id_list{257, 256, 'a'}));
  EXPECT_EQ(tokens.vocab_size(), 260u);
}

TEST(Tokenizer, TakesAWholePieceAsATokenOnlyIfMergesAreIgnored) {
  auto file = small_file();
  EXPECT_EQ(parsed(file).encode(" x", specials::plain), (id_list{' ', 'x'}));
  file["model"]["ignore_merges"] = true;
  EXPECT_EQ(parsed(file).encode(" x", specials::plain), (id_list{259}));
}

TEST(Tokenizer, FindsTheLongestAddedTokenAndThoseNotNormalizedFirst) {
  auto file = small_file();
  file["added_tokens"] = {added("<a", 300, true), added("<ab>", 301, true),
                          added("b>c", 302)};
  auto tokens = parsed(file);
  EXPECT_EQ(tokens.encode("<ab>", specials::recognised), (id_list{301}));
  EXPECT_EQ(tokens.encode("<ab>c", specials::recognised), (id_list{300, 302}));
  EXPECT_EQ(tokens.encode("<ab>", specials::plain), (id_list{'<', 258, '>'}));
  EXPECT_EQ(tokens.vocab_size(), 303u);
  EXPECT_EQ(tokens.decode(id_list{301, 299, 'x', -1, 1 << 30}), "<ab>x");
}

TEST(Tokenizer, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(nano().encode("a\xE4\xBD z\xFF", specials::plain),
            nano().encode("a\xEF\xBF\xBD z\xEF\xBF\xBD", specials::plain));
}

TEST(Tokenizer, KnowsItsTokens) {
  EXPECT_EQ(nano().id_of("<think>"), 1848);
  EXPECT_EQ(nano().id_of("<nothing>"), std::nullopt);
  EXPECT_TRUE(nano().is_special(0));
  EXPECT_FALSE(nano().is_special(1848));
  EXPECT_FALSE(nano().is_special(-1));
  EXPECT_FALSE(nano().is_special(1 << 30));
  EXPECT_EQ(nano().vocab_size(), 1859u);
}

TEST(Tokenizer, SplitsByEveryKindOfStep) {
  auto tokens = parsed(with_split(split("b")));
  EXPECT_EQ(tokens.encode("aab", specials::plain), (id_list{256, 'b'}));
  EXPECT_EQ(tokens.encode("ab", specials::plain), (id_list{'a', 'b'}));
  auto removed = parsed(with_split(split("b", "Removed")));
  EXPECT_EQ(removed.encode("aba", specials::plain), (id_list{'a', 'a'}));
  auto inverted = split("b", "Removed");
  inverted["invert"] = true;
  EXPECT_EQ(parsed(with_split(inverted)).encode("aba", specials::plain),
            (id_list{'b'}));
  json literal = split("");
  literal["pattern"] = {{"String", "."}};
  EXPECT_EQ(parsed(with_split(literal)).encode("a.ab", specials::plain),
            (id_list{'a', '.', 258}));
}

TEST(Tokenizer, AddsAPrefixSpaceAndSplitsAsGpt2) {
  auto file = small_file();
  file["pre_tokenizer"]["add_prefix_space"] = true;
  file["pre_tokenizer"]["use_regex"] = true;
  auto tokens = parsed(file);
  EXPECT_EQ(tokens.encode("aa", specials::plain), (id_list{' ', 256}));
  EXPECT_EQ(tokens.encode(" aa", specials::plain), (id_list{' ', 256}));
  EXPECT_EQ(tokens.encode("", specials::plain), (id_list{}));
}

TEST(Tokenizer, IsNotQuadratic) {
  for (auto unit : {"a", " ", "1", "!", "\n", "中", "\r\n "}) {
    std::string text;
    while (text.size() < 1 << 20)
      text += unit;
    auto ids = nano().encode(text, specials::recognised);
    EXPECT_EQ(nano().decode(ids), text);
  }
}

TEST(Tokenizer, SurvivesExpressionsThatBacktrackForever) {
  auto tokens = parsed(with_split(split("(?:a+)+c|(?:.*)*b")));
  std::string text(3000, 'a');
  EXPECT_EQ(tokens.decode(tokens.encode(text, specials::plain)), text);
}

TEST(Tokenizer, CanBeUsedByManyThreads) {
  std::string text;
  for (int i = 0; i < 300; ++i)
    text += "The quick brown fox 中文 12345 </think>\n";
  auto expected = nano().encode(text, specials::recognised);
  std::vector<id_list> seen(4);
  std::vector<std::thread> threads;
  for (auto& ids : seen)
    threads.emplace_back(
      [&] { ids = nano().encode(text, specials::recognised); });
  for (auto& thread : threads)
    thread.join();
  for (auto& ids : seen)
    EXPECT_EQ(ids, expected);
}

TEST(Detokenizer, LeavesOutSpecialTokensAmidACharacter) {
  auto bytes = nano().encode("é", specials::plain);
  ASSERT_EQ(bytes.size(), 2u);
  detokenizer stream{nano(), true};
  EXPECT_EQ(stream.push(bytes[0]), "");
  EXPECT_EQ(stream.push(1), "");
  EXPECT_EQ(stream.push(bytes[1]), "é");
  EXPECT_EQ(stream.push(-5), "");
  EXPECT_EQ(stream.finish(), "");
}

TEST(TokenizerFile, RefusesByNameWhatIsNotSupported) {
  auto with = [](const char* pointer, json value) {
    auto file = small_file();
    file[json::json_pointer{pointer}] = std::move(value);
    return why(file);
  };
  EXPECT_EQ(with("/normalizer", {{"type", "NFC"}}),
            "tokenizer.json: a normalizer is not supported");
  EXPECT_EQ(with("/model/type", "Unigram"),
            "tokenizer.json: the model is not of the type BPE");
  EXPECT_EQ(with("/model/merges", {"a c"}),
            "tokenizer.json: the merge of \"a\" and \"c\" names a token that "
            "is not in the vocabulary");
  EXPECT_EQ(with("/model/vocab/b", "x"),
            "tokenizer.json: the id of the token \"b\" is not a number below "
            "4194304");
  EXPECT_EQ(with("/model/vocab/b", 'a'),
            "tokenizer.json: the id of the token \"b\" stands there twice");
  EXPECT_EQ(with("/added_tokens", json::array({added("x", 300)})),
            "tokenizer.json: the added token \"x\" and the vocabulary do not "
            "agree about its id");
  auto token = added("<x>", 300);
  token["lstrip"] = true;
  EXPECT_EQ(with("/added_tokens", json::array({token})),
            "tokenizer.json: the added token \"<x>\" asks for lstrip, which is "
            "not supported");
  EXPECT_EQ(with("/pre_tokenizer/type", "Whitespace"),
            "tokenizer.json: the pre-tokenizer does not end in ByteLevel");
  EXPECT_EQ(why(with_split(split("b", "MergedWithNext"))),
            "tokenizer.json: the split behavior \"MergedWithNext\" is not "
            "supported");
  EXPECT_EQ(why(with_split(split("(b"))),
            "tokenizer.json: the expression \"(b\" cannot be compiled: missing "
            "closing parenthesis");
}

TEST(TokenizerFile, MissingFilesAreFailures) {
  auto x = tokenizer::load("/nowhere/tokenizer.json");
  ASSERT_FALSE(x);
  EXPECT_EQ(x.why().code, errc::not_found);
}

TEST(TokenizerFile, NeverCrashesOnTruncatedFiles) {
  auto text = nano_text();
  for (size_t size = 0; size < text.size(); size += 1 + size / 50)
    EXPECT_FALSE(tokenizer::parse(std::string_view{text}.substr(0, size)));
}

TEST(TokenizerFile, NeverCrashesOnMutatedFiles) {
  auto original = small_file().dump();
  for (uint32_t seed = 0; seed < 1500; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random{seed};
    auto text = original;
    for (auto n = 1 + random() % 4; n > 0; --n)
      switch (auto at = random() % text.size(); random() % 3) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, random() % 20);
          break;
        default:
          text.insert(at, original, random() % original.size(), random() % 20);
      }
    auto x = tokenizer::parse(text);
    if (x)
      x->decode(x->encode("aaab <a> \xFF", specials::recognised));
    else
      EXPECT_FALSE(x.why().message.empty());
  }
}

TEST(TokenizerFile, NeverCrashesOnValuesOfTheWrongType) {
  auto flat = small_file();
  flat["model"]["vocab"] = {{"a", 0}};
  flat["added_tokens"] = {added("<a>", 5)};
  flat["pre_tokenizer"] = with_split(split("x"))["pre_tokenizer"];
  auto places = flat.flatten();
  const std::vector<json> values{
    nullptr,       -1, 1e300, "x", true, json::array(), json::array({nullptr}),
    json::object()};
  for (auto& [pointer, _] : places.items())
    for (auto& value : values)
      for (json::json_pointer at{pointer}; !at.empty(); at.pop_back()) {
        auto file = flat;
        file[at] = value;
        EXPECT_NE(why(file), "") << at << " " << value;
      }
}

TEST(TokenizeLines, AnswersGoodLinesAndNamesBadOnes) {
  std::istringstream in{R"({"text": "<think>hm"}
{"text": 1}

nonsense
{"text": "\ud800"}
{"text": ""})"};
  std::ostringstream out;
  std::ostringstream errors;
  EXPECT_EQ(tokenize_lines(nano(), {}, in, out, errors), 1);
  auto hm = nano().encode("hm", specials::plain);
  hm.insert(hm.begin(), 1848);
  auto answer = json{{"ids", hm}}.dump();
  EXPECT_EQ(out.str(), answer + "\n{\"ids\":[]}\n");
  EXPECT_EQ(errors.str(),
            "line 2: expected {\"text\": \"...\"} and nothing else\n"
            "line 3: it is not a JSON object\n"
            "line 4: it is not a JSON object\n"
            "line 5: it is not a JSON object\n");
}

TEST(TokenizeLines, LeavesSpecialTokensAsTextIfPlain) {
  std::istringstream in{"{\"text\": \"<think>\"}\n"};
  std::ostringstream out;
  std::ostringstream errors;
  EXPECT_EQ(tokenize_lines(nano(), {.plain = true}, in, out, errors), 0);
  EXPECT_EQ(json::parse(out.str())["ids"],
            nano().encode("<think>", specials::plain));
  EXPECT_EQ(errors.str(), "");
}

TEST(TokenizeLines, Decodes) {
  std::istringstream in{"{\"ids\": [1848, 1]}\n{\"ids\": [1859]}\n"
                        "{\"ids\": [-1]}\n"};
  std::ostringstream out;
  std::ostringstream errors;
  EXPECT_EQ(tokenize_lines(nano(), {.decode = true}, in, out, errors), 1);
  EXPECT_EQ(json::parse(out.str())["text"], "<think><｜end▁of▁sentence｜>");
  EXPECT_EQ(errors.str(), "line 2: an id is not a number below 1859\n"
                          "line 3: an id is not a number below 1859\n");
}
