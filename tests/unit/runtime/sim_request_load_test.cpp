#include "runtime/sim/request_load.hpp"

#include "runtime/fnv.hpp"
#include "tests/model_files.hpp"
#include "tests/unit/runtime/fuzz.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>

namespace {

using namespace troupe;
using namespace std::chrono_literals;

std::string complaint_about(const std::string& text) {
  auto x = parse_requests(text, "r.jsonl");
  return x ? "" : x.why().message;
}

std::string complaint_about_load(const std::string& text) {
  auto x = parse_load(text);
  return x ? "" : x.why().message;
}

} // namespace

TEST(RequestFile, IsReadLineByLine) {
  auto x = parse_requests(
    R"({"prompt": [1, 2, 3], "max_tokens": 8, "temperature": 0.5, "seed": 7,)"
    R"( "top_p": 0.9, "top_k": 4, "ignore_eos": true, "arrival": "10ms",)"
    R"( "cancel_after": 3})"
    "\n\n"
    R"({"prompt": "hello", "cancel_after": "1.5s"})"
    "\r\n",
    "r.jsonl");
  ASSERT_TRUE(x) << x.why().message;
  ASSERT_EQ(x->requests.size(), 2u);
  EXPECT_EQ(x->streams, 0u);
  auto& first = x->requests[0];
  EXPECT_EQ(first.request.prompt, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_TRUE(first.text.empty());
  EXPECT_EQ(first.request.max_tokens, 8u);
  EXPECT_EQ(first.request.sampling.temperature, 0.5f);
  EXPECT_EQ(first.request.sampling.seed, 7u);
  EXPECT_EQ(first.request.sampling.top_p, 0.9f);
  EXPECT_EQ(first.request.sampling.top_k, 4u);
  EXPECT_TRUE(first.request.ignore_eos);
  EXPECT_EQ(first.arrival, 10ms);
  EXPECT_EQ(first.cancel_after_tokens, 3u);
  EXPECT_FALSE(first.cancel_after);
  auto& second = x->requests[1];
  EXPECT_EQ(second.text, "hello");
  EXPECT_TRUE(second.request.prompt.empty());
  EXPECT_EQ(second.request.max_tokens, 0u);
  EXPECT_EQ(second.request.sampling.temperature, 0.f);
  EXPECT_EQ(second.cancel_after, 1500ms);
  EXPECT_FALSE(second.cancel_after_tokens);
}

TEST(RequestFile, NamesTheLineAndTheFieldThatAreWrong) {
  const std::string good = "{\"prompt\": [1]}\n";
  for (auto& [line, why] : std::vector<std::pair<std::string, std::string>>{
         {"{", "r.jsonl:2"},
         {"[]", "r.jsonl:2 is no JSON object"},
         {"{}", "r.jsonl:2: prompt is needed"},
         {R"({"prompt": []})", "r.jsonl:2: prompt must be a text or a list"},
         {R"({"prompt": ""})", "r.jsonl:2: prompt must be a text or a list"},
         {R"({"prompt": [-1]})", "r.jsonl:2: prompt must be a token id"},
         {R"({"prompt": [1], "max_tokens": 0})", "r.jsonl:2: max_tokens must"},
         {R"({"prompt": [1], "max_tokens": -1})", "r.jsonl:2: max_tokens must"},
         {R"({"prompt": [1], "temperature": -1})", "r.jsonl:2: temperature mu"},
         {R"({"prompt": [1], "top_p": 2})", "r.jsonl:2: top_p must"},
         {R"({"prompt": [1], "seed": -1})", "r.jsonl:2: seed must"},
         {R"({"prompt": [1], "arrival": 3})", "r.jsonl:2: arrival must"},
         {R"({"prompt": [1], "arrival": "-3s"})", "r.jsonl:2: arrival must"},
         {R"({"prompt": [1], "cancel_after": -1})",
          "r.jsonl:2: cancel_after must"},
         {R"({"prompt": [1], "cancel_after": "soon"})",
          "r.jsonl:2: cancel_after must"},
         {R"({"prompt": [1], "best_of": 2})", "r.jsonl:2: best_of is not"},
         {R"({"prompt": [1], "prompt": [2]})", "r.jsonl:2"},
       })
    EXPECT_TRUE(complaint_about(good + line).starts_with(why))
      << line << " gives " << complaint_about(good + line);
  EXPECT_EQ(complaint_about("\n \n"), "r.jsonl has no request");
}

TEST(RequestFile, SurvivesWhatIsMutilated) {
  test::chance dice;
  const std::string text = R"({"prompt": [1, 2], "arrival": "1s", "seed": 3})";
  for (int i = 0; i < 2000; ++i) {
    auto x = parse_requests(
      test::mutated(dice, text, {"\n", "[", "\"", "-1", "1e999", "null"}),
      "r.jsonl");
    EXPECT_TRUE(x || x.why().message.starts_with("r.jsonl")) << x.why().message;
  }
}

TEST(RequestFile, IsReadFromAFile) {
  auto path = scratch_dir() / "requests.jsonl";
  std::ofstream{path} << "{\"prompt\": [5]}";
  auto x = read_requests(path);
  ASSERT_TRUE(x) << x.why().message;
  EXPECT_EQ(x->requests.front().request.prompt, std::vector<int32_t>{5});
  EXPECT_EQ(read_requests(path.parent_path() / "none").why().code,
            errc::not_found);
}

TEST(Load, IsReadFromAFewWords) {
  auto x = parse_load("streams=3,prompt=16-256,output=32,rate=20,requests=64");
  ASSERT_TRUE(x) << x.why().message;
  EXPECT_EQ(*x, (load_spec{.streams = 3,
                           .least_prompt = 16,
                           .most_prompt = 256,
                           .least_output = 32,
                           .most_output = 32,
                           .rate = 20,
                           .requests = 64}));
  auto least = parse_load("rate=5");
  ASSERT_TRUE(least);
  EXPECT_EQ(*least, (load_spec{.rate = 5}));
}

TEST(Load, NamesTheWordThatIsWrong) {
  for (auto& [text, why] : std::vector<std::pair<std::string, std::string>>{
         {"", "the load: \"\" is none of streams"},
         {"streams=3,", "the load: \"\" is none of"},
         {"speed=3", "the load: \"speed\" is none of"},
         {"streams", "the load: \"streams\" must be a whole number from 1"},
         {"streams=0", "the load: \"streams\" must be"},
         {"streams=-1", "the load: \"streams\" must be"},
         {"streams=65537", "the load: \"streams\" must be"},
         {"streams=1,streams=2", "the load: \"streams\" stands twice"},
         {"prompt=0", "the load: \"prompt\" must be a number or a range"},
         {"prompt=5-4", "the load: \"prompt\" must be"},
         {"prompt=5-", "the load: \"prompt\" must be"},
         {"prompt=1-2-3", "the load: \"prompt\" must be"},
         {"output=1.5", "the load: \"output\" must be"},
         {"rate=0", "the load: \"rate\" must be"},
         {"requests=99999999999", "the load: \"requests\" must be"},
       })
    EXPECT_TRUE(complaint_about_load(text).starts_with(why))
      << text << " gives " << complaint_about_load(text);
}

TEST(Requests, AreWrittenAsTheyAreRead) {
  auto x
    = parse_requests("{\"streams\": 3}\n"
                     "{\"prompt\": [1, 2], \"max_tokens\": 8,"
                     " \"temperature\": 0.5, \"top_p\": 0.9,"
                     " \"seed\": 18446744073709551615,"
                     " \"arrival\": \"1.5ms\", \"cancel_after\": 3,"
                     " \"regex\": \"[a-z]+\"}\n"
                     "{\"prompt\": \"a \\n b\", \"cancel_after\": \"2s\"}\n",
                     "r");
  ASSERT_TRUE(x) << x.why().message;
  EXPECT_EQ(x->streams, 3u);
  auto again = parse_requests(render(*x), "again");
  ASSERT_TRUE(again) << again.why().message;
  EXPECT_EQ(render(*again), render(*x));
  EXPECT_EQ(again->streams, 3u);
  auto& first = again->requests[0];
  EXPECT_EQ(first.request.sampling.seed, UINT64_MAX);
  EXPECT_EQ(first.request.sampling.top_p, 0.9f);
  EXPECT_EQ(first.arrival, std::chrono::microseconds{1500});
  EXPECT_EQ(first.cancel_after_tokens, 3u);
  EXPECT_EQ(first.request.grammar,
            (grammar_source{grammar_kind::regex, "[a-z]+"}));
  EXPECT_EQ(again->requests[1].text, "a \n b");
  EXPECT_EQ(again->requests[1].cancel_after, std::chrono::seconds{2});
}

TEST(Load, MakesTheSameRequestsOnEveryMachine) {
  auto x = make_load({.streams = 3,
                      .least_prompt = 4,
                      .most_prompt = 9,
                      .least_output = 2,
                      .most_output = 5,
                      .rate = 1000,
                      .requests = 400},
                     7, 50);
  ASSERT_EQ(x.requests.size(), 400u);
  EXPECT_EQ(x.streams, 3u);
  fnv_hash hash;
  virtual_duration last{0};
  for (auto& [request, text, arrival, tokens, time, expected] : x.requests) {
    EXPECT_GE(request.prompt.size(), 4u);
    EXPECT_LE(request.prompt.size(), 9u);
    for (auto id : request.prompt)
      EXPECT_LT(uint32_t(id), 50u);
    EXPECT_GE(request.max_tokens, 2u);
    EXPECT_LE(request.max_tokens, 5u);
    EXPECT_GE(arrival, last);
    last = arrival;
    hash.add(std::as_bytes(std::span{request.prompt}));
    hash.add(std::as_bytes(std::span{&request.max_tokens, 1}));
    hash.add(std::as_bytes(std::span{&request.sampling.seed, 1}));
    auto count = arrival.count();
    hash.add(std::as_bytes(std::span{&count, 1}));
  }
  EXPECT_NEAR(double(last.count()), 400e6, 80e6) << "mean gap of 1 ms";
  EXPECT_EQ(hash.value(), 7291282536259402078u);
}

TEST(Load, HasFourRequestsForEachStreamAllAtOnce) {
  auto x = make_load({.streams = 5}, 1, 10);
  ASSERT_EQ(x.requests.size(), 20u);
  EXPECT_EQ(x.requests.back().arrival, 0s);
  EXPECT_EQ(x.requests[0].request.sampling.temperature, 0.f);
  EXPECT_EQ(x.requests[1].request.sampling.temperature, 1.f);
  auto other = make_load({.streams = 5}, 2, 10);
  EXPECT_NE(other.requests[0].request.prompt, x.requests[0].request.prompt);
}
