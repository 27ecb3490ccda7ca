#include "runtime/http/api_keys.hpp"

#include <gtest/gtest.h>

namespace troupe::http {

namespace {

TEST(ApiKeys, LetEverybodyInIfThereIsNone) {
  api_keys none{{}};
  EXPECT_TRUE(none.allow(""));
  EXPECT_TRUE(none.allow("Bearer x"));
}

TEST(ApiKeys, LetInWhoeverHasOneOfThem) {
  const std::vector<std::string> all = {"old", "new"};
  api_keys keys{all};
  EXPECT_TRUE(keys.allow("Bearer old"));
  EXPECT_TRUE(keys.allow("Bearer new"));
  for (const auto* right : {"bearer old", "BEARER old", "Bearer  old"})
    EXPECT_TRUE(keys.allow(right)) << right;
  for (const auto* wrong :
       {"", "old", "Bearer ", "Bearer other", "Bearer oldnew", "Bearer old,new",
        "Basic old", "Bearer", "Bearerold", "Bearer old new"})
    EXPECT_FALSE(keys.allow(wrong)) << wrong;
}

TEST(ApiKeys, AreReadOneALine) {
  using list = std::vector<std::string>;
  EXPECT_EQ(*parse_api_keys("f", "one"), list{"one"});
  EXPECT_EQ(*parse_api_keys("f", "one\n\ntwo\r\n\n"), (list{"one", "two"}));
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
