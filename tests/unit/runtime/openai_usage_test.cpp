// What a request has used, in every chunk of a stream, and whose prompts it may
// find in the cache.

#include "tests/unit/runtime/openai_fixture.hpp"

#include <algorithm>
#include <set>

namespace troupe::http {

namespace {

using OpenaiUsage = openai_fixture;

TEST_F(OpenaiUsage, TellsTheUsageInEveryChunkToWhoAsksForIt) {
  start();
  auto client = connect();
  json body = {{"model", "nano"},
               {"prompt", {{5, 6, 7}, {8, 9}}},
               {"stream", true},
               {"stream_options",
                {{"include_usage", true}, {"continuous_usage_stats", true}}}};
  client.send(post("/v1/completions", body.dump()));
  const uint64_t num_prompt[] = {3, 2};
  for (request_id id : {1, 2}) {
    service_.wait_for(id);
    generation_event event;
    event.tokens = {300};
    event.num_cached = id;
    service_.tell(id, event);
    service_.play(id, {301, 302}, finish_reason::length);
  }
  auto all = events(client.receive().body);
  all.pop_back(); // [DONE]
  EXPECT_EQ(all.back()["usage"]["completion_tokens"], 6);
  EXPECT_EQ(all.back()["usage"]["prompt_tokens"], 5);
  all.pop_back();
  ASSERT_GE(all.size(), 2u);
  uint64_t before[] = {0, 0};
  for (const auto& x : all) {
    size_t i = x["choices"][0]["index"];
    const auto& usage = x["usage"];
    ASSERT_TRUE(usage.is_object()) << x;
    EXPECT_EQ(usage["prompt_tokens"], num_prompt[i]);
    EXPECT_EQ(usage["prompt_tokens_details"]["cached_tokens"], i + 1);
    uint64_t now = usage["completion_tokens"];
    EXPECT_GE(now, std::max<uint64_t>(before[i], 1));
    EXPECT_EQ(usage["total_tokens"], num_prompt[i] + now);
    before[i] = now;
  }
  EXPECT_EQ(before[0], 3u);
  EXPECT_EQ(before[1], 3u);
}

TEST_F(OpenaiUsage, FindsNothingOfWhoNamesAnotherSalt) {
  start();
  request_id id = 0;
  auto salt_of = [&](const std::string& salt, const std::string& key) {
    auto client = connect();
    json body = {{"model", "nano"}, {"prompt", {5}}, {"cache_salt", salt}};
    auto header = key.empty() ? "" : "Authorization: Bearer " + key + "\r\n";
    client.send(post("/v1/completions", body.dump(), header));
    auto out = service_.wait_for(++id).cache_salt;
    service_.play(id, {300}, finish_reason::length);
    EXPECT_EQ(client.receive().status, 200);
    return out;
  };
  EXPECT_EQ(salt_of("", ""), "");
  EXPECT_EQ(salt_of("a", ""), salt_of("a", ""));
  openai_options options;
  options.keys = {{"one"}, {"two"}};
  TearDown();
  start(options);
  std::set<std::string> all;
  for (const auto* key : {"one", "two"})
    for (const auto& salt :
         {std::string{}, std::string{"a"}, std::string(64, 'b')})
      EXPECT_TRUE(all.insert(salt_of(salt, key)).second) << key << salt;
  for (auto& salt : all)
    EXPECT_LE(salt.size(), max_cache_salt);
}

} // namespace

} // namespace troupe::http
