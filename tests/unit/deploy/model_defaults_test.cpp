#include "deploy/model_defaults.hpp"

#include <gtest/gtest.h>

namespace troupe {

namespace {

TEST(ModelDefaults, AreOverriddenFieldByField) {
  sampling_params x;
  x.top_k = 7;
  x.top_p = 0.5f;
  auto ok = override_defaults(R"({"temperature": 0.6, "top_p": 0.9,
                                  "min_p": null})",
                              x);
  ASSERT_TRUE(ok) << ok.why().message;
  EXPECT_FLOAT_EQ(x.temperature, 0.6f);
  EXPECT_FLOAT_EQ(x.top_p, 0.9f);
  EXPECT_EQ(x.top_k, 7u);
  EXPECT_EQ(x.min_p, 0);
}

TEST(ModelDefaults, AreNotOverriddenByWhatMakesNoSense) {
  for (const auto* text :
       {"", "[]", "{", R"({"temperature": 3})", R"({"temperature": "1"})",
        R"({"topp": 1})", R"({"top_k": -1})", R"({"max_new_tokens": 5})"}) {
    sampling_params x;
    auto ok = override_defaults(text, x);
    ASSERT_FALSE(ok) << text;
    EXPECT_NE(ok.why().message.find("--override-generation-config"),
              std::string::npos)
      << ok.why().message;
  }
}

} // namespace

} // namespace troupe
