#include "runtime/http/response_store.hpp"
#include "runtime/http/tool_results.hpp"

#include <gtest/gtest.h>

namespace troupe::http {

namespace {

using namespace std::chrono_literals;

constexpr response_store::instant start{};

stored_response said(const std::string& body) {
  return {body, {{chat_role::user, "hi", {}}}};
}

TEST(ResponseStore, FindsWhatItsOwnerHasStored) {
  response_store store{{}};
  store.put("a", "r1", said("one"), start);
  store.put("b", "r2", said("two"), start);
  ASSERT_TRUE(store.find("a", "r1", start));
  EXPECT_EQ(store.find("a", "r1", start)->body, "one");
  EXPECT_EQ(store.find("a", "r1", start)->turns.size(), 1u);
  EXPECT_FALSE(store.find("a", "r2", start));
  EXPECT_FALSE(store.find("c", "r1", start));
  EXPECT_FALSE(store.erase("b", "r1", start));
  EXPECT_TRUE(store.erase("a", "r1", start));
  EXPECT_FALSE(store.erase("a", "r1", start));
  EXPECT_EQ(store.count(), 1u);
}

TEST(ResponseStore, ForgetsTheOldestOfWhoHasTooMany) {
  store_limits limits;
  limits.max_count = 2;
  response_store store{limits};
  store.put("b", "r", said("other"), start);
  for (const auto* id : {"r1", "r2", "r3"})
    store.put("a", id, said(id), start);
  EXPECT_FALSE(store.find("a", "r1", start));
  EXPECT_TRUE(store.find("a", "r2", start));
  EXPECT_TRUE(store.find("a", "r3", start));
  EXPECT_TRUE(store.find("b", "r", start));
}

TEST(ResponseStore, ForgetsTheOldestOfWhoTakesTooManyBytes) {
  store_limits limits;
  limits.max_bytes = 2000;
  response_store store{limits};
  const std::string text(700, 'x');
  store.put("a", "r1", {text, {}}, start);
  store.put("a", "r2", {text, {}}, start);
  EXPECT_EQ(store.count(), 2u);
  store.put("a", "r3", {text, {}}, start);
  EXPECT_EQ(store.count(), 2u);
  EXPECT_FALSE(store.find("a", "r1", start));
  store.put("a", "r4", {std::string(3000, 'x'), {}}, start);
  EXPECT_FALSE(store.find("a", "r4", start));
  EXPECT_EQ(store.count(), 2u); // and nothing had to go for it
  EXPECT_TRUE(store.erase("a", "r3", start));
  store.put("a", "r5", {text, {}}, start); // its bytes are free again
  EXPECT_EQ(store.count(), 2u);
}

TEST(ResponseStore, ForgetsTheOldestOfAllIfTheyTakeTooMuch) {
  store_limits limits;
  limits.max_total_bytes = 2000;
  response_store store{limits};
  const std::string text(700, 'x');
  store.put("a", "r1", {text, {}}, start + 1s);
  store.put("b", "r2", {text, {}}, start + 2s);
  store.put("c", "r3", {text, {}}, start + 3s);
  EXPECT_EQ(store.count(), 2u);
  EXPECT_FALSE(store.find("a", "r1", start + 3s));
  EXPECT_TRUE(store.erase("b", "r2", start + 3s));
  store.put("a", "r4", {text, {}}, start + 4s); // its bytes are free again
  EXPECT_EQ(store.count(), 2u);
  EXPECT_TRUE(store.find("c", "r3", start + 4s));
  store.put("a", "r5", {std::string(3000, 'x'), {}}, start + 4s);
  EXPECT_EQ(store.count(), 2u); // nothing had to go for what fits nowhere
}

TEST(ResponseStore, ForgetsWhatIsOld) {
  store_limits limits;
  limits.kept_for = 10s;
  response_store store{limits};
  store.put("a", "r1", said("one"), start);
  store.put("a", "r2", said("two"), start + 5s);
  EXPECT_TRUE(store.find("a", "r1", start + 9s));
  EXPECT_FALSE(store.find("a", "r1", start + 10s));
  EXPECT_TRUE(store.find("a", "r2", start + 10s));
  EXPECT_FALSE(store.erase("a", "r2", start + 15s));
  EXPECT_EQ(store.count(), 0u);
}

TEST(ResponseStore, StoresNothingIfThereMayBeNone) {
  store_limits limits;
  limits.max_count = 0;
  response_store store{limits};
  EXPECT_FALSE(store.is_on());
  store.put("a", "r1", said("one"), start);
  EXPECT_FALSE(store.find("a", "r1", start));
}

// -- outputs of tools ---------------------------------------------------------

chat_message calls(const std::vector<std::string>& ids) {
  chat_message out{chat_role::assistant, {}, {}};
  for (const auto& id : ids)
    out.tool_calls.push_back({"function", "f", "{}", id});
  return out;
}

chat_message output(const std::string& id) {
  chat_message out{chat_role::tool, "of " + id, {}};
  out.call_id = id;
  return out;
}

TEST(ToolResults, ComeInTheOrderOfTheirCalls) {
  std::vector<chat_message> all
    = {calls({"a", "b", "c"}),        output("c"),  output("a"), output("b"),
       {chat_role::user, "well", {}}, calls({"d"}), output("d")};
  EXPECT_EQ(sort_tool_results(all), std::nullopt);
  EXPECT_EQ(all[1].call_id, "a");
  EXPECT_EQ(all[2].call_id, "b");
  EXPECT_EQ(all[3].call_id, "c");
  EXPECT_EQ(all[6].call_id, "d");
}

TEST(ToolResults, BelongToACallBeforeThem) {
  std::vector<chat_message> all = {output("a")};
  EXPECT_EQ(sort_tool_results(all), "a");
  all = {calls({"a"}), output("b")};
  EXPECT_EQ(sort_tool_results(all), "b");
  all = {calls({"a"}), {chat_role::user, "well", {}}, output("a")};
  EXPECT_EQ(sort_tool_results(all), "a");
}

} // namespace

} // namespace troupe::http
