/// The binary from outside, on the nano model.

#include "tests/cluster/program.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace {

using namespace troupe::tests;
using nlohmann::json;

const std::string text = "Tell me a <think> story, \xe7\x8c\xab 123.";

} // namespace

TEST(Cli, WrongUsageEndsWithTwoAndHelpWithZero) {
  EXPECT_EQ(run_troupe({}).status, 2);
  EXPECT_EQ(run_troupe({"dance"}).status, 2);
  EXPECT_EQ(run_troupe({"tokenize"}).status, 2);
  EXPECT_EQ(run_troupe({"tokenize", nano(), "--fast"}).status, 2);
  EXPECT_EQ(run_troupe({"--help"}).status, 0);
  EXPECT_EQ(run_troupe({"--version"}).out.find("troupe "), 0u);
}

TEST(Cli, AFailureIsOneSentenceThatNamesWhatIsWrong) {
  auto x = run_troupe({"tokenize", "/nowhere"});
  EXPECT_EQ(x.status, 1);
  EXPECT_EQ(x.out, "");
  EXPECT_NE(x.errors.find("/nowhere/tokenizer.json"), std::string::npos);
  EXPECT_EQ(std::count(x.errors.begin(), x.errors.end(), '\n'), 1);
}

TEST(Cli, TokenizeAndBackIsTheSameText) {
  auto line = json{{"text", text}}.dump() + "\n";
  auto there = run_troupe({"tokenize", nano()}, line + line);
  ASSERT_EQ(there.status, 0) << there.errors;
  auto first = there.out.substr(0, there.out.find('\n') + 1);
  EXPECT_EQ(there.out, first + first);
  auto back = run_troupe({"tokenize", nano(), "--decode"}, first);
  ASSERT_EQ(back.status, 0) << back.errors;
  EXPECT_EQ(json::parse(back.out).at("text"), text);
}

TEST(Cli, PlainTokenizingLeavesSpecialTokensAsText) {
  auto line = json{{"text", "<think>"}}.dump() + "\n";
  auto special = run_troupe({"tokenize", nano()}, line);
  auto plain = run_troupe({"tokenize", nano(), "--plain"}, line);
  EXPECT_EQ(json::parse(special.out).at("ids").size(), 1u);
  EXPECT_GT(json::parse(plain.out).at("ids").size(), 1u);
}

TEST(Cli, VerifySaysPassOnlyIfEverythingHolds) {
  auto golden = source_dir() / "tests/data/golden/v2-greedy";
  auto other = source_dir() / "tests/data/golden/no-q-lora";
  scratch_dir scratch;
  auto out = (scratch.path() / "out.safetensors").string();
  auto file = (golden / "golden.safetensors").string();
  auto good = run_troupe(
    {"model", "verify", golden, file, "--activations", "fp32", "--out", out});
  EXPECT_EQ(good.status, 0) << good.out << good.errors;
  EXPECT_NE(good.out.find("\nPASS\n"), std::string::npos);
  EXPECT_GT(std::filesystem::file_size(out), 1000u);
  auto wrong
    = run_troupe({"model", "verify", other, file, "--activations", "fp32"});
  EXPECT_EQ(wrong.status, 1) << wrong.out << wrong.errors;
}
