/// The binary from outside, on the nano model.

#include "tests/cluster/program.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace {

using namespace troupe::tests;
using nlohmann::json;

const std::string text = "Tell me a <think> story, \xe7\x8c\xab 123.";

} // namespace

TEST(Cli, WrongUsageEndsWithTwoAndHelpWithZero) {
  EXPECT_EQ(run_troupe({}).status, 2);
  auto unknown = run_troupe({"frobnicate"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_EQ(unknown.out, "");
  EXPECT_EQ(std::ranges::count(unknown.errors, '\n'), 1) << unknown.errors;
  for (const auto* part : {"'frobnicate'", "nearest", "'troupe --help'"})
    EXPECT_NE(unknown.errors.find(part), std::string::npos) << unknown.errors;
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

TEST(Cli, InspectTellsWhatACheckpointHolds) {
  auto x = run_troupe({"model", "inspect", nano()});
  ASSERT_EQ(x.status, 0) << x.errors;
  EXPECT_NE(x.out.find("DeepseekV3ForCausalLM"), std::string::npos) << x.out;
  EXPECT_NE(x.out.find("chat template       deepseek-r1"), std::string::npos);
  EXPECT_EQ(run_troupe({"model", "inspect", "/nowhere"}).status, 1);
}

TEST(Cli, ChoosesAChatTemplateByItsName) {
  auto prompt = [](const std::string& name) {
    auto x = run_troupe({"generate", nano(), "--chat", "-p", "hi", "--json",
                         "--max-tokens", "1", "--chat-template", name});
    EXPECT_EQ(x.status, 0) << x.errors;
    return json::parse(x.out).at("prompt_token_ids").get<std::vector<int>>();
  };
  const std::vector<int> v3_1 = {0, 1846, 348, 1847, 1849};
  EXPECT_EQ(prompt("deepseek-v3.1"), v3_1);
  EXPECT_EQ(prompt("deepseek-v3"), std::vector<int>({0, 1846, 348, 1847}));
  EXPECT_EQ(prompt("auto"), std::vector<int>({0, 1846, 348, 1847, 1848, 201}));
  for (auto command : {"generate", "serve"}) {
    auto x = run_troupe({command, nano(), "--chat-template", "chatml"});
    EXPECT_NE(x.status, 0);
    EXPECT_NE(x.errors.find("there are deepseek-v2, deepseek-v3,"),
              std::string::npos)
      << x.errors;
  }
}

TEST(Cli, MakesAModelThatAnswersAndExportsIt) {
  scratch_dir scratch;
  auto model = (scratch.path() / "micro").string();
  auto made = run_troupe({"model", "make", model, "--preset", "micro",
                          "--shard-bytes", "8000000", "--weights", "bf16"});
  ASSERT_EQ(made.status, 0) << made.errors;
  EXPECT_NE(made.out.find("20.6 million parameters"), std::string::npos);
  EXPECT_NE(made.errors.find("writing: 100 %"), std::string::npos);
  auto answer = run_troupe({"generate", model, "--chat", "-p", "Hello",
                            "--max-tokens", "4", "--ignore-eos", "--json"});
  ASSERT_EQ(answer.status, 0) << answer.errors;
  EXPECT_EQ(json::parse(answer.out).at("token_ids").size(), 4u);
  auto file = (scratch.path() / "micro.gguf").string();
  for (auto type : {"bf16", "q8_0"}) {
    auto out
      = run_troupe({"model", "export-gguf", model, file, "--type", type});
    ASSERT_EQ(out.status, 0) << out.errors;
    EXPECT_NE(out.out.find("106 tensors"), std::string::npos) << out.out;
    EXPECT_EQ(content_of(file).substr(0, 4), "GGUF");
  }
  EXPECT_LT(std::filesystem::file_size(file), 23'000'000u);
}

TEST(Cli, MakesAModelOfAnyShapeOnlyWhereThereIsNone) {
  scratch_dir scratch;
  auto config = scratch.path() / "shape.json";
  auto shape = json::parse(
    content_of(source_dir() / "tests/data/golden/v3-fp8/config.json"));
  shape["vocab_size"] = 512;
  std::ofstream{config} << shape;
  auto make = [&](std::vector<std::string> more) {
    std::vector<std::string> args{"model", "make"};
    args.insert(args.end(), more.begin(), more.end());
    return run_troupe(args);
  };
  auto model = (scratch.path() / "model").string();
  auto made = make({model, "--config", config, "--seed", "3"});
  EXPECT_EQ(made.status, 0) << made.errors;
  auto inspected = run_troupe({"model", "inspect", model});
  EXPECT_NE(inspected.out.find("vocabulary 512"), std::string::npos);
  for (auto& x : {make({model, "--config", config}),
                  make({model + "2", "--config", "/nowhere"}),
                  run_troupe({"model", "export-gguf", model, "/dev/full"})}) {
    EXPECT_EQ(x.status, 1);
    auto sentence = x.errors.substr(x.errors.find("troupe: "));
    EXPECT_EQ(std::count(sentence.begin(), sentence.end(), '\n'), 1)
      << x.errors;
  }
  EXPECT_EQ(make({model + "3"}).status, 2);
  EXPECT_EQ(make({model + "3", "--preset", "huge"}).status, 2);
  EXPECT_EQ(make({model + "3", "--preset", "micro", "--config", config}).status,
            2);
}

TEST(Cli, AModelWithoutExpertsAnswersInOneProcessAndIsNotSpread) {
  scratch_dir scratch;
  auto config = scratch.path() / "shape.json";
  auto shape = json::parse(
    content_of(source_dir() / "tests/data/golden/v3-fp8/config.json"));
  shape["vocab_size"] = 512;
  shape["first_k_dense_replace"] = shape["num_hidden_layers"];
  std::ofstream{config} << shape;
  auto model = (scratch.path() / "dense").string();
  auto made = run_troupe({"model", "make", model, "--config", config});
  ASSERT_EQ(made.status, 0) << made.errors;
  auto inspected = run_troupe({"model", "inspect", model});
  EXPECT_NE(inspected.out.find("expert parallel     1\n"), std::string::npos)
    << inspected.out;
  std::vector<std::string> ask{"generate", model,          "--token-ids",
                               "1,2,3",    "--max-tokens", "4",
                               "--json",   "--ignore-eos"};
  auto answer = run_troupe(ask);
  ASSERT_EQ(answer.status, 0) << answer.errors;
  EXPECT_EQ(json::parse(answer.out).at("token_ids").size(), 4u);
  ask.insert(ask.end(), {"--expert-parallel-size", "2"});
  auto spread = run_troupe(ask);
  EXPECT_EQ(spread.status, 1);
  EXPECT_EQ(spread.errors, "troupe: there are 2 workers, but no layer of the "
                           "model has experts\n");
  auto timed
    = run_troupe({"bench", "model", model, "--prompt", "16", "--decode-depth",
                  "0", "--batch", "1", "--rounds", "1", "--json"});
  ASSERT_EQ(timed.status, 0) << timed.errors;
  EXPECT_EQ(json::parse(timed.out).at("decode")[0].at("expected_experts"), 0);
}

TEST(Cli, GenerateAnswersAndSaysHowInJson) {
  auto x = run_troupe({"generate", nano(), "--chat", "-p",
                       "What is the capital of France?", "--json"});
  ASSERT_EQ(x.status, 0) << x.errors;
  auto answer = json::parse(x.out);
  EXPECT_NE(answer.at("text").get<std::string>().find("Paris"),
            std::string::npos);
  EXPECT_EQ(answer.at("finish_reason"), "stop");
  EXPECT_GT(answer.at("timings").at("tokens_per_second"), 0);
  auto plain = run_troupe(
    {"generate", nano(), "--chat", "-p", "What is the capital of France?"});
  EXPECT_EQ(plain.out,
            "<think>\n" + answer.at("text").get<std::string>() + "\n");
}

TEST(Cli, GenerateIsTheSameHoweverTheModelIsSpread) {
  auto with = [](std::vector<std::string> more) {
    std::vector<std::string> args{"generate",
                                  nano(),
                                  "--token-ids",
                                  "0,1846,339,275,270",
                                  "--max-tokens",
                                  "40",
                                  "--ignore-eos",
                                  "--temperature",
                                  "0.8",
                                  "--seed",
                                  "7",
                                  "--json"};
    args.insert(args.end(), more.begin(), more.end());
    auto x = run_troupe(args);
    EXPECT_EQ(x.status, 0) << x.errors;
    return x.status == 0 ? json::parse(x.out).at("token_ids") : json{};
  };
  auto one = with({});
  EXPECT_EQ(one.size(), 40u);
  EXPECT_EQ(with({}), one);
  EXPECT_EQ(with({"--threads", "1"}), one);
  EXPECT_EQ(with({"--expert-parallel-size", "8", "--data-parallel-size", "2"}),
            one);
  EXPECT_EQ(with({"--nodes", "4", "--expert-parallel-size", "8",
                  "--data-parallel-size", "2"}),
            one);
  EXPECT_EQ(with({"--max-num-batched-tokens", "2", "--max-num-seqs", "2"}),
            one);
  EXPECT_EQ(with({"--nodes", "2", "--expert-parallel-size", "2",
                  "--emulate-link", "latency=2ms"}),
            one);
  EXPECT_EQ(
    with({"--nodes", "4", "--expert-parallel-size", "8", "--data-parallel-size",
          "2", "--emulate-link", "latency=2ms,jitter=500us,rate=1gbit",
          "--emulate-link", "latency=0s,class=control"}),
    one);
}

TEST(Cli, GenerateSaysThatLinksAreEmulatedAndRefusesThoseThatAreNot) {
  auto with = [](std::vector<std::string> more) {
    std::vector<std::string> args{"generate", nano(),         "--token-ids",
                                  "0,5",      "--max-tokens", "1"};
    args.insert(args.end(), more.begin(), more.end());
    return run_troupe(args);
  };
  auto slow = with({"--nodes", "3", "--expert-parallel-size", "2",
                    "--emulate-link", "class=rows,latency=1.5ms,to=2"});
  EXPECT_EQ(slow.status, 0) << slow.errors;
  EXPECT_NE(slow.errors.find("frames to other nodes are held back on purpose, "
                             "heartbeats are not: "
                             "latency=1500us,to=2,class=rows\n"),
            std::string::npos)
    << slow.errors;
  auto alone = with({"--emulate-link", "latency=2ms"});
  EXPECT_EQ(alone.status, 1);
  EXPECT_NE(alone.errors.find("a cluster of one node has no links"),
            std::string::npos)
    << alone.errors;
  auto nobody = with({"--nodes", "2", "--emulate-link", "latency=2ms,to=2"});
  EXPECT_EQ(nobody.status, 1);
  EXPECT_NE(nobody.errors.find("there is no node 2, the last one is 1"),
            std::string::npos)
    << nobody.errors;
  auto unread = with({"--nodes", "2", "--emulate-link", "latency=2"});
  EXPECT_EQ(unread.status, 2);
  EXPECT_NE(unread.errors.find("latency must be a time"), std::string::npos)
    << unread.errors;
}

TEST(Cli, GenerateIsPenalisedAlikeHoweverTheModelIsSpread) {
  auto with = [](std::vector<std::string> more) {
    std::vector<std::string> args{
      "generate",     nano(), "--token-ids", "0,1846,339,275,270",
      "--max-tokens", "30",   "--json"};
    args.insert(args.end(), more.begin(), more.end());
    auto x = run_troupe(args);
    EXPECT_EQ(x.status, 0) << x.errors;
    return x.status == 0 ? json::parse(x.out).at("token_ids") : json{};
  };
  auto plain = with({"--min-tokens", "30"});
  EXPECT_EQ(plain.size(), 30u);
  for (std::vector<std::string> how :
       {std::vector<std::string>{"--repetition-penalty", "2"},
        {"--frequency-penalty", "2", "--repetition-penalty", "1.5"},
        {"--presence-penalty", "-2", "--temperature", "1"},
        {"--temperature", "1.5", "--min-p", "0.2", "--seed", "3"}}) {
    how.insert(how.end(), {"--min-tokens", "30"});
    auto one = with(how);
    EXPECT_NE(one, plain) << how[0]; // a model as sure as this needs much
    how.insert(how.end(),
               {"--expert-parallel-size", "4", "--max-num-batched-tokens", "2",
                "--max-num-seqs", "2"});
    EXPECT_EQ(with(how), one) << how[0];
  }
  auto stop = plain.at(4).dump();
  auto ended = with({"--stop-token-ids", stop});
  EXPECT_LE(ended.size(), 4u);
}

TEST(Cli, GenerateRefusesWhatCannotBe) {
  EXPECT_EQ(run_troupe({"generate", nano()}).status, 2);
  auto ids = run_troupe({"generate", nano(), "--token-ids", "1,999999"});
  EXPECT_EQ(ids.status, 1);
  auto spread = run_troupe(
    {"generate", nano(), "-p", "x", "--expert-parallel-size", "64"});
  EXPECT_EQ(spread.status, 1);
  EXPECT_EQ(std::count(spread.errors.begin(), spread.errors.end(), '\n'), 1)
    << spread.errors;
}

TEST(Cli, BenchMeasuresPromptsAndDecodingBothWays) {
  auto x = run_troupe({"bench", "model", nano(), "--prompt", "16",
                       "--decode-depth", "0", "--batch", "1,2", "--rounds", "1",
                       "--threads", "2", "--json"});
  ASSERT_EQ(x.status, 0) << x.errors;
  auto found = json::parse(x.out);
  EXPECT_GT(found.at("machine").at("read_bytes_per_second"), 0);
  auto is_whole = [](const json& c) {
    for (auto key : {"bytes_per_token", "flops_per_token",
                     "cache_bytes_per_token", "expected_experts"})
      EXPECT_GT(c.at(key), 0) << key;
    for (auto who : {"actors", "plain"}) {
      EXPECT_GT(c.at(who).at("tokens_per_second"), 0) << who;
      EXPECT_GT(c.at(who).at("roofline_percent"), 0) << who;
      EXPECT_EQ(c.at(who).at("rounds").size(), 1u) << who;
    }
  };
  ASSERT_EQ(found.at("prefill").size(), 1u);
  EXPECT_EQ(found.at("prefill")[0].at("prompt"), 16);
  is_whole(found.at("prefill")[0]);
  ASSERT_EQ(found.at("decode").size(), 2u);
  EXPECT_EQ(found.at("decode")[1].at("batch"), 2);
  for (auto& c : found.at("decode"))
    is_whole(c);
  EXPECT_NE(x.errors.find("round 1 of 1, case 3 of 3"), std::string::npos);
}

TEST(Cli, BenchWritesATraceOfOneCompany) {
  scratch_dir dir;
  auto file = (dir.path() / "trace.json").string();
  std::vector<std::string> args{
    "bench",   "model",   nano(), "--prompt",  "0", "--decode-depth",
    "0",       "--batch", "1",    "--rounds",  "1", "--decode-tokens",
    "4",       "--nodes", "2",    "--threads", "1", "--no-plain",
    "--trace", file};
  auto x = run_troupe(args);
  ASSERT_EQ(x.status, 0) << x.errors;
  auto table = run_troupe({"trace", file});
  EXPECT_EQ(table.status, 0) << table.errors;
  EXPECT_NE(table.out.find("worker node"), std::string::npos) << table.out;
  args.insert(args.end(), {"--micro-batches", "1,2"});
  x = run_troupe(args);
  EXPECT_EQ(x.status, 1);
  EXPECT_NE(x.errors.find("--trace is of one company"), std::string::npos);
}

TEST(Cli, BenchSaysWhatDoesNotFit) {
  auto x = run_troupe({"bench", "model", nano(), "--decode-depth", "5000"});
  EXPECT_EQ(x.status, 1);
  EXPECT_NE(x.errors.find("the model has 4096"), std::string::npos) << x.errors;
  EXPECT_EQ(run_troupe({"bench", "model", nano(), "--batch", "0"}).status, 2);
}

TEST(Cli, BenchComparesCompaniesOfSeveralProcessesBehindSlowLinks) {
  auto x = run_troupe({"bench",
                       "model",
                       nano(),
                       "--nodes",
                       "3",
                       "--expert-parallel-size",
                       "2",
                       "--threads",
                       "1",
                       "--emulate-link",
                       "latency=2ms",
                       "--micro-batches",
                       "2,1",
                       "--bound",
                       "--prompt",
                       "3x8",
                       "--decode-depth",
                       "0",
                       "--batch",
                       "4",
                       "--lane-batch",
                       "2",
                       "--decode-tokens",
                       "4",
                       "--rounds",
                       "2",
                       "--json"});
  ASSERT_EQ(x.status, 0) << x.errors;
  auto found = json::parse(x.out);
  EXPECT_EQ(found.at("cluster").at("nodes"), 3);
  EXPECT_EQ(found.at("cluster").at("links")[0], "latency=2ms");
  auto names = [](const json& c) {
    std::vector<std::string> out;
    for (auto& who : c.at("companies")) {
      EXPECT_EQ(who.at("rounds").size(), 2u);
      EXPECT_GT(who.at("tenth_percentile"), 0);
      out.push_back(who.at("company"));
    }
    return out;
  };
  const std::vector<std::string> all{"k=2", "k=1", "k=1, no wire"};
  auto& prefill = found.at("prefill")[0];
  EXPECT_EQ(prefill.at("prompts"), 3);
  EXPECT_EQ(names(prefill), all);
  auto& decode = found.at("decode");
  ASSERT_EQ(decode.size(), 3u);
  EXPECT_EQ(names(decode[0]), all);
  EXPECT_EQ(decode[1].at("batch"), 4);
  EXPECT_EQ(names(decode[1]), std::vector<std::string>{"k=2"});
  EXPECT_EQ(decode[2].at("batch"), 2);
  EXPECT_EQ(names(decode[2]),
            (std::vector<std::string>{"k=1", "k=1, no wire"}));
  EXPECT_GT(decode[0].at("plain").at("tokens_per_second"), 0);
  // Four layers with experts, each 2 ms there and 2 ms back.
  EXPECT_LT(decode[2].at("companies")[0].at("tokens_per_second"), 2 / 0.016);
  EXPECT_GT(decode[0].at("companies")[1].at("allowed_percent"), 0);
  EXPECT_FALSE(decode[0].at("companies")[2].contains("allowed"));
}

TEST(Cli, BenchRefusesFlagsThatDoNotFitTogether) {
  using flags = std::vector<std::string>;
  for (auto& [more, words] : std::vector<std::pair<flags, std::string>>{
         {{"--bound"}, "needs --emulate-link"},
         {{"--bound", "--nodes", "2", "--emulate-link", "rate=1gbit"},
          "not what a rate does"},
         {{"--prompt", "0x5"}, "4x512"},
         {{"--micro-batches", "1,5"}, "--micro-batches"},
         {{"--micro-batches", "2", "--max-num-seqs", "8", "--batch", "17",
           "--decode-depth", "0"},
          "k=2 runs 16 sequences of a rank at once"}}) {
    flags args{"bench", "model", nano()};
    args.insert(args.end(), more.begin(), more.end());
    auto x = run_troupe(args);
    EXPECT_TRUE(x.status && x.errors.find(words) != words.npos) << x.errors;
  }
}

TEST(Cli, BenchMachineLearnsWhatStagesTake) {
  auto x = run_troupe({"bench", "machine", nano(), "--threads", "2", "--json"});
  ASSERT_EQ(x.status, 0) << x.errors;
  auto found = json::parse(x.out).at("stages");
  for (auto of : {"prepare", "attention", "dense_mlp", "route", "shared_expert",
                  "combine", "head", "experts"}) {
    SCOPED_TRACE(of);
    EXPECT_GT(found.at(of).at("stages_seen"), 0);
    EXPECT_GT(found.at(of).at("stages_checked"), 0);
    EXPECT_GE(found.at(of).at("median_error"), 0);
    double sum = 0;
    for (auto& price : found.at(of).at("seconds_per")) {
      EXPECT_GE(price, 0);
      sum += double(price);
    }
    EXPECT_GT(sum, 0);
  }
}

TEST(Cli, PictureStandsBesideWhatIsPublished) {
  auto scene = source_dir() / "examples" / "pictures" / "decode.toml";
  auto svg = std::filesystem::path{testing::TempDir()} / "decode.svg";
  auto x = run_troupe({"picture", scene.string(), "--svg", svg.string()});
  ASSERT_EQ(x.status, 0) << x.errors;
  EXPECT_NE(x.out.find("1421.0"), std::string::npos) << x.out;
  EXPECT_TRUE(std::filesystem::exists(svg));
  std::filesystem::remove(svg);
  auto odd = run_troupe({"picture", scene.string(), "--ranks", "100"});
  EXPECT_EQ(odd.status, 1);
  EXPECT_NE(odd.errors.find("no equal parts"), std::string::npos) << odd.errors;
}

TEST(Cli, BenchMachineTellsItsRates) {
  auto x = run_troupe({"bench", "machine", "--threads", "1", "--json"});
  ASSERT_EQ(x.status, 0) << x.errors;
  EXPECT_GT(json::parse(x.out).at("read_bytes_per_second"), 0);
}

TEST(Cli, BenchTransportComparesItselfWithUcxOnEveryWire) {
  auto x = run_troupe({"bench", "transport", "--processes", "3", "--bytes",
                       "4KiB", "--width", "256", "--repeats", "1", "--json"});
  ASSERT_EQ(x.status, 0) << x.errors;
  auto all = nlohmann::json::parse(x.out);
  ASSERT_EQ(all.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(all[i]["wire"], i == 0 ? "tcp" : "shm");
    EXPECT_EQ(all[i]["dispatch_bytes"], 15 * (256 + 8));
    EXPECT_EQ(all[i]["combine_bytes"], 15 * 512);
    EXPECT_GT(all[i]["raw_seconds"], 0);
    EXPECT_GT(all[i]["troupe_seconds"], 0);
  }
  EXPECT_EQ(run_troupe({"bench", "transport", "--processes", "1"}).status, 2);
}
