#include "runtime/http/api_keys.hpp"

#include <gtest/gtest.h>

namespace troupe::http {

namespace {

/// What is known of who sends `authorization`.
std::optional<std::string> owner(const api_keys& keys,
                                 const std::string& authorization,
                                 const std::string& api_key = {}) {
  request_head head;
  head.authorization = authorization;
  head.api_key = api_key;
  auto holder = keys.holder_of(head);
  return holder ? std::optional{holder->id} : std::nullopt;
}

TEST(ApiKeys, LetEverybodyInIfThereIsNone) {
  api_keys none{{}};
  EXPECT_EQ(owner(none, ""), "");
  EXPECT_EQ(owner(none, "Bearer x"), "");
}

TEST(ApiKeys, LetInWhoeverHasOneOfThem) {
  const std::vector<api_key> all = {{"old"}, {"new"}};
  api_keys keys{all};
  auto old = owner(keys, "Bearer old");
  ASSERT_TRUE(old && owner(keys, "Bearer new"));
  EXPECT_NE(old, owner(keys, "Bearer new"));
  EXPECT_EQ(old->find("old"), std::string::npos);
  for (const auto* right : {"bearer old", "BEARER old", "Bearer  old"})
    EXPECT_EQ(owner(keys, right), old) << right;
  EXPECT_EQ(owner(keys, "", "old"), old);
  EXPECT_EQ(owner(keys, "Basic x", "old"), old);
  EXPECT_FALSE(owner(keys, "", "other"));
  EXPECT_FALSE(owner(keys, "Bearer other", "old"));
  for (const auto* wrong :
       {"", "old", "Bearer ", "Bearer other", "Bearer oldnew", "Bearer old,new",
        "Basic old", "Bearer", "Bearerold", "Bearer old new"})
    EXPECT_FALSE(owner(keys, wrong)) << wrong;
}

TEST(ApiKeys, AreReadOneALine) {
  auto read = [](const char* text) {
    auto keys = parse_api_keys("f", text);
    std::vector<std::string> out;
    for (auto& x : *keys)
      out.push_back(x.key);
    return out;
  };
  using list = std::vector<std::string>;
  EXPECT_EQ(read("one"), list{"one"});
  EXPECT_EQ(read("one\n\ntwo\r\n\n"), (list{"one", "two"}));
}

TEST(ApiKeys, AreReadFromATableWithTheirLimits) {
  auto keys = parse_api_key_table("k.toml",
                                  "[[key]]\nkey = 'one'\nname = 'team-a'\n"
                                  "requests-per-minute = 60\n"
                                  "[[key]]\nkey = 'two'\n"
                                  "tokens-per-minute = 1000\n");
  ASSERT_TRUE(keys) << keys.why().message;
  ASSERT_EQ(keys->size(), 2u);
  EXPECT_EQ(keys->at(0).name, "team-a");
  EXPECT_EQ(keys->at(0).limits, (quota_limits{60, 0}));
  EXPECT_EQ(keys->at(1).key, "two");
  EXPECT_EQ(keys->at(1).limits, (quota_limits{0, 1000}));
}

TEST(ApiKeys, AreRefusedFromATableThatIsWrong) {
  for (const std::string text :
       {"", "key = 'hush'", "[[key]]\nkey = hush\n", "[[key]]\nname = 'a'",
        "[[key]]\nkey = 'hu sh'", "[[key]]\nkey = 'hush'\nlimit = 1",
        "[[key]]\nkey = 'hush'\nrequests-per-minute = -1",
        "[[key]]\nkey = 'hush'\nname = 'a b'",
        "[[key]]\nkey = 'hush'\n[[key]]\nkey = 'hush'",
        "[[key]]\nkey = 'hush'\nname = 'a'\n"
        "[[key]]\nkey = 'other'\nname = 'a'"}) {
    auto keys = parse_api_key_table("k.toml", text);
    ASSERT_FALSE(keys) << text;
    EXPECT_TRUE(keys.why().message.starts_with("k.toml")) << keys.why().message;
    EXPECT_EQ(keys.why().message.find("hush"), std::string::npos)
      << keys.why().message;
  }
}

TEST(ApiKeys, AreReplacedAndKeepWhatIsLeft) {
  const std::vector<api_key> before = {{"a", "", {1, 0}}, {"b"}};
  const std::vector<api_key> after = {{"a", "", {1, 0}}, {"c"}};
  const std::vector<api_key> raised = {{"a", "", {2, 0}}};
  api_keys keys{before};
  request_head head;
  head.api_key = "a";
  EXPECT_FALSE(keys.holder_of(head)->quota.admit({}));
  keys.replace(after);
  EXPECT_TRUE(keys.holder_of(head)->quota.admit({}));
  EXPECT_FALSE(owner(keys, "Bearer b"));
  EXPECT_TRUE(owner(keys, "Bearer c"));
  keys.replace(raised); // more a minute, but not at once
  EXPECT_TRUE(keys.holder_of(head)->quota.admit({}));
  EXPECT_FALSE(keys.holder_of(head)->quota.admit(
    key_quota::instant{std::chrono::seconds{30}}));
}

TEST(ApiKeys, AreRefusedWhereNoneIsOrNoHeaderCouldHoldOne) {
  for (const std::string text :
       {"", "\n\n", "two words", "one\n caf\xc3\xa9", "a\tb"}) {
    auto keys = parse_api_keys("keys.txt", text);
    ASSERT_FALSE(keys) << text;
    EXPECT_TRUE(keys.why().message.starts_with("keys.txt"));
    EXPECT_EQ(keys.why().message.find("caf"), std::string::npos);
  }
  EXPECT_TRUE(parse_api_keys("f", std::string(1024, 'k')));
  EXPECT_FALSE(parse_api_keys("f", std::string(1025, 'k')));
}

} // namespace

} // namespace troupe::http
