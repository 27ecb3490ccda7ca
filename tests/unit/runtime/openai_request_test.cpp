#include "runtime/http/openai_request.hpp"

#include <gtest/gtest.h>

namespace troupe::http {

namespace {

const std::string messages = R"("messages":[{"role":"user","content":"x"}])";

std::string chat_with(const std::string& members) {
  return R"({"model":"m",)" + messages + (members.empty() ? "" : ",") + members
         + "}";
}

std::optional<api_error> refusal(const std::string& body) {
  auto x = parse_chat_request(body, {});
  auto* error = std::get_if<api_error>(&x);
  return error ? std::optional{*error} : std::nullopt;
}

chat_request accepted(const std::string& body) {
  auto x = parse_chat_request(body, {});
  if (auto* error = std::get_if<api_error>(&x)) {
    ADD_FAILURE() << body << ": " << error->message;
    return {};
  }
  return std::get<chat_request>(std::move(x));
}

struct numeric_case {
  const char* field;
  std::vector<std::string> good;
  std::vector<std::string> bad;
};

TEST(OpenaiRequest, ChecksTheRangeOfEveryNumber) {
  const std::vector<numeric_case> cases = {
    {"max_tokens", {"1", "2147483647"}, {"0", "2147483648", "1.5"}},
    {"max_completion_tokens", {"1", "2147483647"}, {"0", "2147483648", "1.5"}},
    {"temperature", {"0", "1", "2", "0.7"}, {"2.0001", "-0.0001"}},
    {"top_p", {"0", "0.5", "1"}, {"1.0001", "-0.1"}},
    {"top_k", {"-1", "0", "2147483647"}, {"-2", "2147483648", "0.5"}},
    {"n", {"1", "8"}, {"0", "9", "1.0"}},
    {"best_of", {"1"}, {"0", "2"}},
    {"min_p", {"0", "0.5", "1"}, {"-0.1", "1.1"}},
    {"repetition_penalty", {"0.01", "1", "1.5", "100"}, {"0", "101"}},
    {"presence_penalty", {"0", "-2", "2"}, {"2.1", "-2.1"}},
    {"frequency_penalty", {"0", "-2", "2"}, {"2.1", "-2.1"}},
    {"min_tokens", {"0", "2147483647"}, {"2147483648", "0.5"}},
  };
  const std::vector<std::string> always_bad = {"-9223372036854775808",
                                               "1e308",
                                               "-1e308",
                                               "1e999",
                                               "NaN",
                                               "Infinity",
                                               "\"1\"",
                                               "[]",
                                               "{}",
                                               "true",
                                               "[1]",
                                               std::string(100'000, '9')};
  for (const auto& x : cases) {
    auto body = [&](const std::string& value) {
      return chat_with("\"" + std::string{x.field} + "\":" + value);
    };
    for (const auto& value : x.good)
      EXPECT_FALSE(refusal(body(value))) << x.field << " " << value;
    EXPECT_FALSE(refusal(body("null"))) << x.field;
    auto bad = x.bad;
    bad.insert(bad.end(), always_bad.begin(), always_bad.end());
    for (const auto& value : bad) {
      auto error = refusal(body(value));
      ASSERT_TRUE(error) << x.field << " " << value.substr(0, 40);
      EXPECT_EQ(error->status, 400u);
      EXPECT_TRUE(error->param == x.field || error->code == "invalid_json")
        << x.field << " " << value.substr(0, 40);
    }
  }
}

TEST(OpenaiRequest, TakesEverySeedOf64BitsAndDrawsOneForMinusOne) {
  const std::pair<const char*, std::optional<uint64_t>> cases[]
    = {{"0", 0},
       {"18446744073709551615", UINT64_MAX},
       {"-1", std::nullopt},
       {"null", std::nullopt},
       {"-2", UINT64_MAX - 1},
       {"-9223372036854775808", uint64_t{1} << 63}};
  for (auto& [text, seed] : cases)
    EXPECT_EQ(accepted(chat_with(std::string{"\"seed\":"} + text)).options.seed,
              seed)
      << text;
  for (const auto* bad : {"18446744073709551616", "0.5", "-9223372036854775809",
                          "\"1\"", "[]", "true", "1e999", "-1.5"}) {
    auto error = refusal(chat_with(std::string{"\"seed\":"} + bad));
    ASSERT_TRUE(error) << bad;
    EXPECT_TRUE(error->param == "seed" || error->code == "invalid_json") << bad;
    auto says_which = error->message.find("from -9223372036854775808 to ");
    EXPECT_EQ(says_which != std::string::npos, error->param == "seed") << bad;
  }
}

TEST(OpenaiRequest, TakesBiasesOfTokenIds) {
  auto body = [](const std::string& biases) {
    return chat_with("\"logit_bias\":" + biases);
  };
  EXPECT_EQ(
    accepted(body(R"({"20":-100,"3":2.5,"0":100})")).options.sampling.biases,
    (std::vector<logit_bias>{{0, 100}, {3, 2.5f}, {20, -100}}));
  EXPECT_TRUE(accepted(body("{}")).options.sampling.biases.empty());
  for (const auto* bad :
       {"[]", "1", "\"x\"", R"({"a":1})", R"({"-1":1})", R"({"1.5":1})",
        R"({"01":1})", R"({"":1})", R"({"2147483648":1})", R"({"1":"1"})",
        R"({"1":null})", R"({"1":100.5})", R"({"1":-101})", R"({" 1":1})"}) {
    auto error = refusal(body(bad));
    ASSERT_TRUE(error) << bad;
    EXPECT_EQ(error->param, "logit_bias") << bad;
  }
  auto many = [&](int count) {
    std::string text;
    for (int i = 0; i < count; ++i)
      text += (i ? ",\"" : "\"") + std::to_string(i) + "\":1";
    return body("{" + text + "}");
  };
  EXPECT_FALSE(refusal(many(1024)));
  EXPECT_TRUE(refusal(many(1025)));
}

TEST(OpenaiRequest, TakesWhatEndsAnAnswer) {
  auto x = accepted(chat_with(R"("stop_token_ids":[3,1],"ignore_eos":true,)"
                              R"("min_tokens":2,"max_tokens":2,)"
                              R"("include_stop_str_in_output":true)"))
             .options;
  EXPECT_EQ(x.stop_ids, (std::vector<int32_t>{3, 1}));
  EXPECT_TRUE(x.ignore_eos);
  EXPECT_TRUE(x.include_stop);
  EXPECT_EQ(x.min_tokens, 2u);
  const std::pair<const char*, const char*> bad[]
    = {{"stop_token_ids", "[-1]"},
       {"stop_token_ids", "[\"a\"]"},
       {"stop_token_ids", "{}"},
       {"ignore_eos", "1"},
       {"include_stop_str_in_output", "\"yes\""},
       {"skip_special_tokens", "0"},
       {"min_tokens", "3,\"max_tokens\":2"}};
  for (auto& [name, value] : bad) {
    auto error = refusal(chat_with("\"" + std::string{name} + "\":" + value));
    ASSERT_TRUE(error) << name;
    EXPECT_EQ(error->param, name);
  }
}

TEST(OpenaiRequest, RefusesBodiesThatAreNoObjectOfSense) {
  const std::vector<std::string> bodies = {
    "",
    "{",
    "[]",
    "1",
    "null",
    "{} {}",
    "{\"model\":\"m\"}",
    "{" + messages + "}",
    R"({"model":"m","model":"m",)" + messages + "}",
    R"({"model":1,)" + messages + "}",
    R"({"model":"m","messages":[]})",
    R"({"model":"m","messages":{}})",
    R"({"model":"m","messages":"x"})",
    R"({"model":"m","messages":[1]})",
    R"({"model":"m","messages":[{}]})",
    R"({"model":"m","messages":[{"role":"user"}]})",
    R"({"model":"m","messages":[{"role":"user","content":1}]})",
    R"({"model":"m","messages":[{"role":"user","content":null}]})",
    R"({"model":"m","messages":[{"role":"king","content":"x"}]})",
    R"({"model":"m","messages":[{"role":1,"content":"x"}]})",
    R"({"model":"m","messages":[{"role":"user","content":"a\u0000b"}]})",
    R"({"model":"m","messages":[{"role":"user","content":"\ud800"}]})",
    R"({"model":"m","messages":[{"role":"user","content":[{"type":"image_url",)"
    R"("image_url":{"url":"http://x"}}]}]})",
    R"({"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]})",
    R"({"model":"m","messages":[{"role":"user","content":"x",)"
    R"("tool_calls":[]}]})",
    R"({"model":"m","messages":[{"role":"assistant","tool_calls":[1]}]})",
    R"({"model":"m","messages":[{"role":"assistant","tool_calls":[{}]}]})",
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}",
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\xc3\"}]}",
    chat_with("\"a\":" + std::string(40, '[') + std::string(40, ']')),
    chat_with("\"a\":" + std::string(1'000'000, '[')),
  };
  for (const auto& body : bodies) {
    auto error = refusal(body);
    ASSERT_TRUE(error) << body.substr(0, 100);
    EXPECT_EQ(error->status, 400u);
    EXPECT_FALSE(error->message.empty());
    EXPECT_NO_THROW(render_error(*error));
  }
}

TEST(OpenaiRequest, RefusesMoreValuesAndMessagesThanTheLimit) {
  auto with_values = [](size_t count) {
    std::string list;
    for (size_t i = 0; i < count; ++i)
      list += "0,";
    return chat_with("\"a\":[" + list + "0]");
  };
  EXPECT_FALSE(refusal(with_values(260'000)));
  EXPECT_TRUE(refusal(with_values(263'000)));
  auto with_messages = [](size_t count) {
    std::string list = R"({"role":"user","content":"x"})";
    for (size_t i = 1; i < count; ++i)
      list += R"(,{"role":"user","content":"x"})";
    return R"({"model":"m","messages":[)" + list + "]}";
  };
  EXPECT_FALSE(refusal(with_messages(4096)));
  EXPECT_TRUE(refusal(with_messages(4097)));
}

TEST(OpenaiRequest, TakesStopsUpToTheLimits) {
  auto list = [](size_t count, size_t size) {
    std::string text;
    for (size_t i = 0; i < count; ++i)
      text += std::string{i ? "," : ""} + "\"" + std::string(size, 'a') + "\"";
    return chat_with("\"stop\":[" + text + "]");
  };
  EXPECT_EQ(accepted(list(16, 256)).options.stop.size(), 16u);
  EXPECT_TRUE(refusal(list(17, 1)));
  EXPECT_TRUE(refusal(list(1, 257)));
  EXPECT_TRUE(refusal(list(1, 0)));
  EXPECT_TRUE(refusal(chat_with(R"("stop":"")")));
  EXPECT_TRUE(refusal(chat_with(R"("stop":1)")));
  EXPECT_TRUE(refusal(chat_with(R"("stop":[1])")));
  EXPECT_EQ(accepted(chat_with(R"("stop":"end")")).options.stop,
            std::vector<std::string>{"end"});
  EXPECT_TRUE(accepted(chat_with(R"("stop":[])")).options.stop.empty());
}

TEST(OpenaiRequest, TakesStreamOptionsOnlyOfStreams) {
  const std::string usage = R"("stream_options":{"include_usage":true})";
  auto x = accepted(chat_with("\"stream\":true," + usage)).options;
  EXPECT_TRUE(x.stream);
  EXPECT_TRUE(x.include_usage);
  EXPECT_TRUE(refusal(chat_with(usage)));
  EXPECT_TRUE(refusal(chat_with("\"stream\":false," + usage)));
  EXPECT_TRUE(refusal(chat_with("\"stream\":1")));
  EXPECT_TRUE(refusal(chat_with("\"stream\":\"true\"")));
  EXPECT_TRUE(refusal(chat_with(R"("stream":true,"stream_options":[])")));
  EXPECT_TRUE(refusal(
    chat_with(R"("stream":true,"stream_options":{"include_usage":1})")));
  auto running = [](const std::string& options) {
    return accepted(chat_with(R"("stream":true,"stream_options":{)" + options
                              + R"("continuous_usage_stats":true})"))
      .options.running_usage;
  };
  EXPECT_FALSE(x.running_usage);
  EXPECT_TRUE(running(R"("include_usage":true,)"));
  EXPECT_FALSE(running(R"("include_usage":false,)"));
  EXPECT_FALSE(running(""));
}

TEST(OpenaiRequest, TakesAShortSalt) {
  auto with = [](size_t size) {
    return chat_with(R"("cache_salt":")" + std::string(size, 'a') + '"');
  };
  EXPECT_EQ(accepted(with(64)).options.cache_salt, std::string(64, 'a'));
  EXPECT_EQ(accepted(with(0)).options.cache_salt, "");
  EXPECT_EQ(refusal(with(65))->param, "cache_salt");
  EXPECT_TRUE(refusal(chat_with(R"("cache_salt":1)")));
}

TEST(OpenaiRequest, TakesAPriorityWhereTheServerHasSome) {
  auto with = [](const std::string& value) {
    return chat_with(R"("priority":)" + value);
  };
  EXPECT_EQ(accepted(with("0")).options.priority, 0);
  EXPECT_EQ(refusal(with("1"))->param, "priority");
  EXPECT_EQ(refusal(with("1"))->code, "unsupported_parameter");
  request_limits limits;
  limits.priorities = true;
  auto parse = [&](const std::string& value) {
    return parse_chat_request(with(value), {}, limits);
  };
  for (auto x : {-100, -1, 0, 100})
    EXPECT_EQ(std::get<chat_request>(parse(std::to_string(x))).options.priority,
              x);
  for (auto* bad : {"-101", "101", "1.5", "\"1\"", "18446744073709551615"})
    EXPECT_EQ(std::get<api_error>(parse(bad)).param, "priority") << bad;
}

TEST(OpenaiRequest, RefusesByNameWhatItCannotDo) {
  for (const auto* members :
       {R"("top_logprobs":5)", R"("tools":"f")", R"("tool_choice":"required")",
        R"("guided_whitespace_pattern":" ")", R"("structural_tag":"{}")",
        R"("reasoning_effort":"much")", R"("include_reasoning":false)",
        R"("verbosity":"none")", R"("best_of":2)", R"("echo":true)",
        R"("bad_words":["a"])", R"("prompt_logprobs":0.5)",
        R"("repeat_penalty":1.1)", R"("chat_template":"{{ 1 }}")",
        R"("documents":[{"text":"a"}])"}) {
    auto error = refusal(chat_with(members));
    ASSERT_TRUE(error) << members;
    EXPECT_EQ(members,
              "\"" + error->param + "\""
                + std::string{members}.substr(error->param.size() + 2));
    EXPECT_NE(error->message.find(error->param), std::string::npos);
  }
  for (const auto* members :
       {R"("n":1,"best_of":1)", R"("logprobs":false)", R"("logit_bias":{})",
        R"("tools":[],"tool_choice":"none")", R"("reasoning_effort":"medium")",
        R"("include_reasoning":true,"guided_json":null,"length_penalty":1.0)",
        R"("response_format":{"type":"text"})",
        R"("chat_template":null,"add_generation_prompt":true)",
        R"("user":"somebody","never_heard_of":[1,2])"})
    EXPECT_FALSE(refusal(chat_with(members))) << members;
}

TEST(OpenaiRequest, TakesWhatOpenaisClientsSayOfEffort) {
  for (const auto* x :
       {"none", "minimal", "low", "medium", "high", "xhigh", "max"}) {
    auto asked
      = accepted(chat_with("\"reasoning_effort\":\"" + std::string{x} + "\""));
    EXPECT_FALSE(asked.thinking);
    EXPECT_EQ(asked.rather_thinking,
              std::string{"none"} == x ? std::optional{false} : std::nullopt);
  }
  for (const auto* x : {R"("low")", R"("medium")", R"("high")", "null"})
    EXPECT_FALSE(refusal(chat_with(R"("verbosity":)" + std::string{x}))) << x;
}

TEST(OpenaiRequest, LetsTheNewNameOfTheTokenLimitWin) {
  EXPECT_EQ(accepted(chat_with(R"("max_tokens":5)")).options.max_tokens, 5u);
  EXPECT_EQ(accepted(chat_with(R"("max_tokens":5,"max_completion_tokens":6)"))
              .options.max_tokens,
            6u);
  EXPECT_EQ(accepted(chat_with("")).options.max_tokens, 0u);
}

TEST(OpenaiRequest, GivesOneHundredAndTwentyEightAnswersAtMost) {
  auto parse = [](size_t count, int n) {
    std::string list = "\"a\"";
    for (size_t i = 1; i < count; ++i)
      list += ",\"a\"";
    return parse_text_request(R"({"model":"m","n":)" + std::to_string(n)
                                + R"(,"prompt":[)" + list + "]}",
                              {});
  };
  EXPECT_TRUE(std::holds_alternative<text_request>(parse(128, 1)));
  EXPECT_TRUE(std::holds_alternative<text_request>(parse(16, 8)));
  for (auto& x : {parse(129, 1), parse(17, 8)})
    EXPECT_EQ(std::get<api_error>(x).param, "prompt");
}

TEST(OpenaiRequest, WantsATokenUnlessThePromptIsSaidAgain) {
  auto parse = [](const std::string& more) {
    return parse_text_request(R"({"model":"m","prompt":"a",)" + more + "}", {});
  };
  auto x = parse(R"("max_tokens":0,"echo":true)");
  EXPECT_TRUE(std::get<text_request>(x).options.no_tokens);
  EXPECT_TRUE(std::get<text_request>(x).options.echo);
  x = parse(R"("max_tokens":0)");
  EXPECT_EQ(std::get<api_error>(x).param, "max_tokens");
  x = parse(R"("suffix":"b")");
  EXPECT_EQ(std::get<api_error>(x).param, "suffix");
}

TEST(OpenaiRequest, ReadsPromptsOfEveryShape) {
  auto parse = [](const std::string& prompt) {
    return parse_text_request(R"({"model":"m","prompt":)" + prompt + "}", {});
  };
  auto all = [&](const std::string& prompt) {
    auto x = parse(prompt);
    return std::get<text_request>(x).prompts;
  };
  auto text = [&](const std::string& prompt) { return all(prompt).at(0); };
  EXPECT_EQ(text(R"("abc")").text, "abc");
  EXPECT_EQ(text(R"(["abc"])").text, "abc");
  EXPECT_EQ(text("[1,2]").ids, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(text("[[1,2]]").ids, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(all(R"(["a","b","c"])").size(), 3u);
  EXPECT_EQ(all(R"(["a","b"])")[1].text, "b");
  EXPECT_EQ(all("[[1],[2,3]]")[1].ids, (std::vector<int32_t>{2, 3}));
  for (const auto* bad : {R"("")", "[]", "[[]]", "null", "1", "{}", "[-1]",
                          "[1.5]", "[4294967296]", R"(["a",""])", R"(["a",1])",
                          "[[1],[]]", R"([1,"a"])", "[[[1]]]"})
    EXPECT_TRUE(std::holds_alternative<api_error>(parse(bad))) << bad;
}

} // namespace

} // namespace troupe::http
