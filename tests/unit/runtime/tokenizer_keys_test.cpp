/// Every key of tokenizer.json and tokenizer_config.json is used, known to
/// change nothing, or refused by its name.

#include "runtime/text/chat.hpp"
#include "runtime/text/chat_config.hpp"
#include "runtime/text/tokenizer_config.hpp"
#include "tests/model_files.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <sys/stat.h>

namespace troupe {
namespace {

using nlohmann::json;

constexpr auto bos = "<｜begin▁of▁sentence｜>";
constexpr auto eos = "<｜end▁of▁sentence｜>";

const json& nano_file() {
  static const json file
    = json::parse(read_text(nano_dir() / "model/tokenizer.json"));
  return file;
}

const tokenizer& nano() {
  static const tokenizer tokens
    = std::move(*tokenizer::load(nano_dir() / "model/tokenizer.json"));
  return tokens;
}

json config_file(const std::filesystem::path& dir) {
  return json::parse(read_text(dir / "tokenizer_config.json"));
}

json v3_config() {
  return config_file(source_dir() / "tests/data/published/v3");
}

std::string why(const json& file) {
  auto out = parse_tokenizer_file(file.dump());
  return out ? "accepted" : out.why().message;
}

std::string why_with(const char* pointer, json value) {
  auto file = nano_file();
  file[json::json_pointer{pointer}] = std::move(value);
  return why(file);
}

std::string config_why(const json& file) {
  auto out = parse_tokenizer_config(file.dump(), nano());
  return out ? "accepted" : out.why().message;
}

json special(const char* name) {
  return {{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
}

using pieces = std::vector<json>;

/// A template of what stands around the text "A".
json template_of(const pieces& before, const pieces& after) {
  auto single = before;
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  single.insert(single.end(), after.begin(), after.end());
  json tokens;
  for (auto [name, id] : {std::pair{bos, 0}, std::pair{eos, 1}})
    tokens[name] = {{"id", name}, {"ids", {id}}, {"tokens", {name}}};
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", json::array()},
          {"special_tokens", tokens}};
}

json byte_level() {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", true},
          {"trim_offsets", false},
          {"use_regex", true}};
}

// -- tokenizer.json -----------------------------------------------------------

TEST(TokenizerKeys, AreRefusedByNameIfUnknownHoweverDeepTheyStand) {
  auto file = nano_file();
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", json::array()}};
  file["post_processor"]
    = {{"type", "Sequence"},
       {"processors", {byte_level(), template_of({special(bos)}, {})}}};
  EXPECT_EQ(why(file), "accepted");
  for (std::string place :
       {"", "/normalizer", "/pre_tokenizer", "/pre_tokenizer/pretokenizers/0",
        "/pre_tokenizer/pretokenizers/0/pattern",
        "/pre_tokenizer/pretokenizers/3", "/post_processor",
        "/post_processor/processors/0", "/post_processor/processors/1",
        "/post_processor/processors/1/single/0",
        "/post_processor/processors/1/single/0/SpecialToken",
        "/post_processor/processors/1/single/1",
        "/post_processor/processors/1/single/1/Sequence", "/decoder", "/model",
        "/added_tokens/0", "/added_tokens/5"})
    for (auto& value : {json(1), json(false), json("x"), json::object()}) {
      auto changed = file;
      changed[json::json_pointer{place + "/surprise"}] = value;
      EXPECT_NE(why(changed).find("surprise is not known"), std::string::npos)
        << place << ": " << why(changed);
      changed[json::json_pointer{place + "/surprise"}] = nullptr;
      EXPECT_EQ(why(changed), "accepted") << place;
    }
  file["post_processor"]["processors"][1]["special_tokens"][bos]["surprise"]
    = 1;
  EXPECT_NE(why(file).find("surprise is not known"), std::string::npos);
}

TEST(TokenizerKeys, OfPostProcessorsSayWhatStandsBeforeAText) {
  auto first = [](const json& post_processor) {
    auto file = nano_file();
    file["post_processor"] = post_processor;
    auto out = tokenizer::parse(file.dump());
    EXPECT_TRUE(out) << (out ? "" : out.why().message);
    return out->first_id();
  };
  const pieces none;
  EXPECT_EQ(first(nullptr), std::nullopt);
  EXPECT_EQ(first(byte_level()), std::nullopt);
  EXPECT_EQ(first(template_of(none, none)), std::nullopt);
  EXPECT_EQ(first(template_of({special(bos)}, none)), 0);
  EXPECT_EQ(
    first({{"type", "Sequence"},
           {"processors", {byte_level(), template_of({special(eos)}, none)}}}),
    1);
}

TEST(TokenizerKeys, OfPostProcessorsAreRefusedByNameIfTheyAddMore) {
  const pieces none;
  auto with = [](const json& x) { return why_with("/post_processor", x); };
  EXPECT_EQ(with(template_of(none, {special(eos)})),
            std::string{"tokenizer.json: the post-processor adds \""} + eos
              + "\": only one token in front of the text is supported");
  EXPECT_NE(with(template_of({special(bos), special(eos)}, none))
              .find("only one token"),
            std::string::npos);
  EXPECT_EQ(with({{"type", "RobertaProcessing"}, {"sep", {"x", 1}}}),
            "tokenizer.json: the post-processor \"RobertaProcessing\" is not "
            "supported");
  auto twice = template_of({special(bos)}, none);
  EXPECT_NE(with({{"type", "Sequence"}, {"processors", {twice, twice}}})
              .find("only one token"),
            std::string::npos);
  auto lost = template_of(none, none);
  lost["single"] = json::array();
  EXPECT_EQ(with(lost),
            "tokenizer.json: the post-processor leaves out the text");
  auto unknown = template_of({special("<x>")}, none);
  EXPECT_EQ(with(unknown), "tokenizer.json: post_processor: special_tokens: "
                           "<x> is missing or no object");
  auto many = template_of({special(bos)}, none);
  many["special_tokens"][bos]["ids"] = {0, 1};
  EXPECT_NE(with(many).find("does not have one id"), std::string::npos);
  auto file = nano_file();
  file["post_processor"] = template_of({special(bos)}, none);
  file["post_processor"]["special_tokens"][bos]["ids"] = {70};
  EXPECT_EQ(tokenizer::parse(file.dump()).why().message,
            "tokenizer.json: the post-processor adds the id 70, which is no "
            "added token");
}

TEST(TokenizerKeys, ThatAskForOtherIdsAreRefusedByName) {
  EXPECT_EQ(why_with("/truncation", {{"max_length", 512}}),
            "tokenizer.json: truncation must be null");
  EXPECT_EQ(why_with("/padding", {{"strategy", "BatchLongest"}}),
            "tokenizer.json: padding must be null");
  EXPECT_EQ(why_with("/version", "2.0"),
            "tokenizer.json: version must be \"1.0\"");
  EXPECT_EQ(why_with("/model/dropout", 0.1),
            "tokenizer.json: model: dropout must be 0");
  EXPECT_EQ(why_with("/model/continuing_subword_prefix", "##"),
            "tokenizer.json: model: continuing_subword_prefix must be \"\"");
  EXPECT_EQ(why_with("/model/end_of_word_suffix", "</w>"),
            "tokenizer.json: model: end_of_word_suffix must be \"\"");
  for (auto option : {"lstrip", "rstrip", "single_word"})
    EXPECT_NE(why_with(("/added_tokens/0/" + std::string{option}).c_str(), true)
                .find(option),
              std::string::npos);
  for (auto name :
       {"/model/unk_token", "/model/byte_fallback", "/model/fuse_unk"})
    EXPECT_EQ(why_with(name, true), "accepted") << name;
  EXPECT_EQ(why_with("/model/dropout", 0.0), "accepted");
}

TEST(TokenizerKeys, SurviveOddValues) {
  auto file = nano_file();
  file["model"]["merges"] = json::array();
  file["post_processor"] = template_of({special(bos)}, {special(eos)});
  const json odd[] = {true,  -1,  4194304,       4294967296u,   1.5,
                      1e300, "x", json::array(), json::object()};
  for (auto place :
       {"/added_tokens/3/id", "/added_tokens/3/special",
        "/added_tokens/3/content", "/added_tokens/3/normalized",
        "/model/vocab/a", "/model/dropout", "/model/ignore_merges",
        "/model/merges", "/pre_tokenizer/pretokenizers",
        "/pre_tokenizer/pretokenizers/0/invert",
        "/pre_tokenizer/pretokenizers/3/add_prefix_space",
        "/post_processor/single", "/post_processor/special_tokens",
        "/post_processor/single/0/SpecialToken/id", "/decoder/type"})
    for (auto& value : odd) {
      auto changed = file;
      changed[json::json_pointer{place}] = value;
      auto out = tokenizer::parse(changed.dump());
      EXPECT_TRUE(out || out.why().message.starts_with("tokenizer.json: "))
        << place << " = " << value << ": " << out.why().message;
    }
}

// -- tokenizer_config.json ----------------------------------------------------

TEST(TokenizerConfig, IsReadAsPublishedAndAsMade) {
  auto v3 = parse_tokenizer_config(v3_config().dump(), nano());
  ASSERT_TRUE(v3) << v3.why().message;
  EXPECT_EQ(v3->first_id, 0);
  auto own = read_tokenizer_config(nano_dir() / "model", nano());
  ASSERT_TRUE(own) << own.why().message;
  EXPECT_EQ(own->first_id, std::nullopt);
  auto none = read_tokenizer_config(scratch_dir(), nano());
  ASSERT_TRUE(none);
  EXPECT_EQ(none->first_id, std::nullopt);
}

TEST(TokenizerConfig, AgreesWithTokenizerJsonAboutTheFirstToken) {
  auto file = nano_file();
  file["post_processor"] = template_of({special(bos)}, {});
  auto tokens = std::move(*tokenizer::parse(file.dump()));
  auto with = [&](json config) {
    return parse_tokenizer_config(config.dump(), tokens);
  };
  auto config = v3_config();
  EXPECT_EQ(with(config)->first_id, 0);
  config.erase("add_bos_token");
  EXPECT_EQ(with(config)->first_id, 0) << "what the template says";
  config["add_bos_token"] = false;
  EXPECT_EQ(with(config).why().message,
            "tokenizer_config.json: add_bos_token must be what "
            "tokenizer.json's post_processor says");
  config.erase("add_bos_token");
  config["bos_token"] = eos;
  EXPECT_EQ(with(config).why().message,
            "tokenizer_config.json: bos_token must be the token that "
            "tokenizer.json's post_processor adds");
  EXPECT_EQ(config_why({{"add_bos_token", true}}),
            "tokenizer_config.json: add_bos_token needs a bos_token");
}

TEST(TokenizerConfig, IsRefusedByTheNameOfWhatIsNotDone) {
  const json asked = {{"add_eos_token", true},
                      {"add_prefix_space", true},
                      {"clean_up_tokenization_spaces", true},
                      {"split_special_tokens", true},
                      {"do_lower_case", true},
                      {"errors", "strict"},
                      {"add_bos_token", "x"},
                      {"bos_token", "<nothing>"},
                      {"unk_token", "<nothing>"},
                      {"pad_token", "<think>"},
                      {"additional_special_tokens", {"<nothing>"}},
                      {"additional_special_tokens", {1}},
                      {"extra_special_tokens", {{"image", "<nothing>"}}},
                      {"surprise", false}};
  for (auto& [key, value] : asked.items()) {
    auto config = v3_config();
    config[key] = value;
    EXPECT_TRUE(config_why(config).starts_with("tokenizer_config.json: " + key))
      << config_why(config);
  }
  auto config = v3_config();
  config["bos_token"]["lstrip"] = true;
  EXPECT_EQ(config_why(config),
            "tokenizer_config.json: bos_token: lstrip must be false");
  config = v3_config();
  config["eos_token"]["surprise"] = 0;
  EXPECT_EQ(config_why(config), "tokenizer_config.json: eos_token: surprise is "
                                "not known, and it might change what is "
                                "computed");
}

TEST(TokenizerConfig, MayNameTheTokensThatTokenizerJsonHas) {
  auto config = v3_config();
  json think = {{"content", "<think>"}, {"lstrip", false},
                {"rstrip", false},      {"single_word", false},
                {"normalized", true},   {"special", false}};
  json first = think;
  first["content"] = bos;
  first["special"] = true;
  config["added_tokens_decoder"] = {{"0", first}, {"1848", think}};
  config["additional_special_tokens"] = {eos};
  config["extra_special_tokens"] = {{"stop", eos}, {"other", nullptr}};
  EXPECT_EQ(config_why(config), "accepted");
  auto with = [&](const char* pointer, json value) {
    auto x = config;
    x[json::json_pointer{pointer}] = std::move(value);
    return config_why(x);
  };
  auto differs = [](const std::string& id) {
    return "tokenizer_config.json: added_tokens_decoder: " + id
           + " is not the added token that tokenizer.json has";
  };
  EXPECT_EQ(with("/added_tokens_decoder/1848/special", true), differs("1848"));
  EXPECT_EQ(with("/added_tokens_decoder/1848/content", "x"), differs("1848"));
  EXPECT_EQ(with("/added_tokens_decoder/7", think), differs("7"));
  EXPECT_EQ(with("/added_tokens_decoder/1848/rstrip", true),
            "tokenizer_config.json: added_tokens_decoder: 1848: rstrip must be "
            "false");
  EXPECT_NE(with("/added_tokens_decoder/0/surprise", 1)
              .find("0: surprise is not known"),
            std::string::npos);
}

TEST(TokenizerConfig, IsNotAtOddsWithOlderFilesBesideIt) {
  auto dir = scratch_dir();
  auto with = [&](const char* name, const json& file) {
    write_text(dir / name, file.dump());
    auto out = read_tokenizer_config(dir, nano());
    return out ? "accepted" : out.why().message;
  };
  auto map = "special_tokens_map.json";
  auto added = "added_tokens.json";
  EXPECT_EQ(with(map, {{"bos_token", bos}, {"unk_token", nullptr}}),
            "accepted");
  EXPECT_EQ(with(added, {{"<think>", 1848}}), "accepted");
  EXPECT_EQ(with(added, {{"<think>", 7}}),
            "added_tokens.json: <think> is not the added token that "
            "tokenizer.json has");
  EXPECT_EQ(with(added, {{"<new>", 1860}}),
            "added_tokens.json: <new> is not the added token that "
            "tokenizer.json has");
  EXPECT_EQ(with(added, {{"<think>", -1}}).substr(0, 34),
            "added_tokens.json: <think> must be");
  EXPECT_EQ(with(map, {{"eos_token", "<new>"}}),
            "special_tokens_map.json: eos_token names <new>, which is no "
            "special token of tokenizer.json");
  EXPECT_EQ(with(map, {{"surprise", 1}}).substr(0, 46),
            "special_tokens_map.json: surprise is not known");
  write_text(dir / map, R"({"a": 1, "a": 2})");
  EXPECT_EQ(read_tokenizer_config(dir, nano()).why().message,
            "special_tokens_map.json has the key \"a\" twice");
  for (auto name : {map, added}) {
    std::filesystem::remove(dir / name);
    ASSERT_EQ(::mkfifo((dir / name).c_str(), 0600), 0);
    EXPECT_EQ(read_tokenizer_config(dir, nano()).why().message,
              (dir / name).string() + " is no regular file");
    std::filesystem::remove(dir / name);
  }
}

TEST(TokenizerConfig, SurvivesOddValues) {
  const json odd[] = {
    true, -1, 1e300, "", "x", json::array(), json::object(), json::array({1})};
  auto base = v3_config();
  base["added_tokens_decoder"] = json::object();
  base["additional_special_tokens"] = json::array();
  for (auto& [key, was] : base.items())
    for (auto& value : odd) {
      auto config = base;
      config[key] = value;
      auto out = config_why(config);
      EXPECT_TRUE(out == "accepted"
                  || out.starts_with("tokenizer_config.json: "))
        << key << " = " << value << ": " << out;
    }
}

// -- files --------------------------------------------------------------------

const std::string deep = "{\"model\":" + std::string(100000, '[')
                         + std::string(100000, ']') + "}";

TEST(TokenizerFiles, AreRefusedForDepthAndForDuplicateKeys) {
  EXPECT_EQ(tokenizer::parse(deep).why().message,
            "tokenizer.json is nested too deeply");
  EXPECT_EQ(parse_tokenizer_config(deep, nano()).why().message,
            "tokenizer_config.json is nested too deeply");
  EXPECT_EQ(parse_chat_config(deep).why().message,
            "tokenizer_config.json is nested too deeply");
  auto text = nano_file().dump();
  text.insert(text.find("\"vocab\":{") + 9, "\"!\":5,");
  EXPECT_EQ(tokenizer::parse(text).why().message,
            "tokenizer.json has the key \"!\" twice");
  auto twice = R"({"add_bos_token": true, "add_bos_token": false})";
  for (auto& message : {parse_tokenizer_config(twice, nano()).why().message,
                        parse_chat_config(twice).why().message})
    EXPECT_EQ(message,
              "tokenizer_config.json has the key \"add_bos_token\" twice");
}

TEST(TokenizerFiles, ThatAreNoRegularFilesAreRefusedAtOnce) {
  auto dir = scratch_dir();
  auto words = dir / "tokenizer.json";
  auto config = dir / "tokenizer_config.json";
  auto form = dir / "chat_template.jinja";
  for (auto& path : {words, config, form})
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(tokenizer::load(words).why().message,
            words.string() + " is no regular file");
  EXPECT_EQ(read_tokenizer_config(dir, nano()).why().message,
            config.string() + " is no regular file");
  EXPECT_EQ(chat_form::load(dir, nano()).why().message,
            config.string() + " is no regular file");
  std::filesystem::remove(config);
  std::filesystem::copy(nano_dir() / "model/tokenizer_config.json", config);
  EXPECT_EQ(chat_form::load(dir, nano()).why().message,
            form.string() + " is no regular file");
  EXPECT_EQ(tokenizer::load("/dev/zero").why().code, errc::io);
  EXPECT_EQ(tokenizer::load(dir).why().code, errc::io);
}

} // namespace
} // namespace troupe
