#include "runtime/http/client_limits.hpp"

#include "runtime/http/openai_request.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace troupe::http {

namespace {

std::string value_of(const client_limits& x, std::string_view name) {
  for (auto& one : named_limits(x))
    if (one.name == name)
      return one.value;
  return "none";
}

TEST(HttpClientLimits, WhatTheyAreCanBeSet) {
  client_limits x;
  for (auto& one : named_limits(x)) {
    auto ok = set_limit(std::string{one.name} + "=" + one.value, x);
    EXPECT_TRUE(ok) << ok.why().message;
    EXPECT_EQ(value_of(x, one.name), one.value);
  }
  EXPECT_TRUE(check_limits(x));
}

TEST(HttpClientLimits, HaveNumbersWithSuffixesAndTimesWithUnits) {
  client_limits x;
  ASSERT_TRUE(set_limit("body=2M", x));
  EXPECT_EQ(x.server.reading.body.max_data, 2u << 20);
  ASSERT_TRUE(set_limit("body=3000k", x));
  EXPECT_EQ(x.server.reading.body.max_data, 3'000'000u);
  ASSERT_TRUE(set_limit("body=4097", x));
  EXPECT_EQ(x.server.reading.body.max_data, 4097u);
  ASSERT_TRUE(set_limit("head-time=1.5s", x));
  EXPECT_EQ(x.server.head_deadline, std::chrono::milliseconds{1500});
  ASSERT_TRUE(set_limit("n=16", x));
  EXPECT_EQ(x.requests.max_n, 16u);
}

TEST(HttpClientLimits, GoNoFurtherThanTheCodeBehind) {
  client_limits x;
  for (auto* text : {"stops=17", "stop-bytes=257", "logit-bias=1025",
                     "stop-ids=65", "top-logprobs=21", "body-speed=0", "n=0",
                     "json-depth=129", "head-time=10", "head-time=0s",
                     "head-time=0.1ms", "body=-1", "body=", "body"}) {
    auto ok = set_limit(text, x);
    ASSERT_FALSE(ok) << text;
    EXPECT_NE(ok.why().message.find("must be from"), std::string::npos)
      << ok.why().message;
  }
  for (auto* text : {"stops=16", "stop-bytes=256", "logit-bias=1024",
                     "stop-ids=64", "top-logprobs=20", "json-depth=128"})
    EXPECT_TRUE(set_limit(text, x)) << text;
}

TEST(HttpClientLimits, SayWhichThereAre) {
  client_limits x;
  auto ok = set_limit("bodys=1M", x);
  ASSERT_FALSE(ok);
  EXPECT_NE(ok.why().message.find(", body, bodies, "), std::string::npos)
    << ok.why().message;
}

TEST(HttpClientLimits, OneBodyFitsIntoWhatAllMayHave) {
  for (auto* text : {"bodies=15M", "waiting=8M", "headers-bytes=4K"}) {
    client_limits x;
    ASSERT_TRUE(set_limit(text, x)) << text;
    EXPECT_FALSE(check_limits(x)) << text;
  }
}

using nlohmann::json;

bool is_taken(const json& more, const client_limits& within) {
  json body = {{"model", "nano"},
               {"messages", {{{"role", "user"}, {"content", "hi"}}}}};
  body.update(more);
  auto got = parse_chat_request(body.dump(), {}, within.requests);
  return std::holds_alternative<chat_request>(got);
}

json list_of_depth(size_t depth) {
  auto out = json::array();
  for (size_t i = 1; i < depth; ++i)
    out = json::array({out});
  return out;
}

json format_of(const std::string& expression) {
  return {{"guided_regex", expression}};
}

TEST(HttpClientLimits, HoldForRequestsUpToTheLastAndNotBeyond) {
  json message = {{"role", "user"}, {"content", "hi"}};
  struct {
    const char* limit;
    json last, beyond;
  } const all[] = {
    {"n=2", {{"n", 2}}, {{"n", 3}}},
    {"stops=1", {{"stop", {"a"}}}, {{"stop", {"a", "b"}}}},
    {"stop-bytes=2", {{"stop", "ab"}}, {{"stop", "abc"}}},
    {"stop-ids=1", {{"stop_token_ids", {7}}}, {{"stop_token_ids", {7, 8}}}},
    {"logit-bias=1",
     {{"logit_bias", {{"7", 1}}}},
     {{"logit_bias", {{"7", 1}, {"8", 1}}}}},
    {"top-logprobs=1",
     {{"logprobs", true}, {"top_logprobs", 1}},
     {{"logprobs", true}, {"top_logprobs", 2}}},
    {"messages=2",
     {{"messages", {message, message}}},
     {{"messages", {message, message, message}}}},
    {"json-depth=8", {{"x", list_of_depth(7)}}, {{"x", list_of_depth(8)}}},
    {"json-keys=16",
     {{"x", json::object()}},
     {{"x", json(std::map<std::string, int>{{"a", 1},
                                            {"b", 1},
                                            {"c", 1},
                                            {"d", 1},
                                            {"e", 1},
                                            {"f", 1},
                                            {"g", 1},
                                            {"h", 1},
                                            {"i", 1},
                                            {"j", 1},
                                            {"k", 1},
                                            {"l", 1},
                                            {"m", 1},
                                            {"n", 1},
                                            {"o", 1},
                                            {"p", 1},
                                            {"q", 1}})}}},
    {"json-values=64",
     {{"x", json(std::vector<int>(57, 1))}},
     {{"x", json(std::vector<int>(58, 1))}}},
    {"grammar-bytes=3", format_of("abc"), format_of("abcd")},
  };
  for (auto& x : all) {
    client_limits within;
    EXPECT_TRUE(is_taken(x.beyond, within)) << x.limit;
    ASSERT_TRUE(set_limit(x.limit, within)) << x.limit;
    EXPECT_TRUE(is_taken(x.last, within)) << x.limit;
    EXPECT_FALSE(is_taken(x.beyond, within)) << x.limit;
  }
}

} // namespace

} // namespace troupe::http
