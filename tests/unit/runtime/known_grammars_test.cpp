/// Grammars are compiled once for as long as they are remembered.

#include "runtime/grammar/known_grammars.hpp"

#include <gtest/gtest.h>

using namespace troupe;

TEST(KnownGrammars, CompileASourceOnceWhatEverComesOfIt) {
  known_grammars all;
  grammar_source good{grammar_kind::regex, "a+"};
  grammar_source bad{grammar_kind::regex, "("};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(all.trouble(good), std::nullopt);
    EXPECT_EQ(all.trouble(bad), "a ')' is missing");
  }
  EXPECT_EQ(all.counted().asked, 6u);
  EXPECT_EQ(all.counted().compiled, 2u);
}

TEST(KnownGrammars, TellKindsFromEachOther) {
  known_grammars all;
  EXPECT_TRUE(all.trouble({grammar_kind::json_schema, "["}));
  EXPECT_TRUE(all.trouble({grammar_kind::choice, "["}));
  EXPECT_EQ(all.trouble({grammar_kind::regex, "x", false}), std::nullopt);
  EXPECT_EQ(all.trouble({grammar_kind::regex, "x", true}), std::nullopt);
  EXPECT_EQ(all.counted().compiled, 4u);
}

TEST(KnownGrammars, AreForgottenWhereTheyTakeTooMuch) {
  known_grammars all{10'000};
  auto source = [](int i) {
    return grammar_source{grammar_kind::regex,
                          std::string(900, 'a') + std::to_string(i)};
  };
  for (int i = 0; i < 100; ++i) {
    all.trouble(source(i));
    all.trouble(source(0)); // used again and again
    ASSERT_LE(all.counted().bytes, 10'000u);
  }
  EXPECT_EQ(all.counted().compiled, 100u) << "the last used stay";
  all.trouble(source(50));
  EXPECT_EQ(all.counted().compiled, 101u);
  // One that is larger than all is not kept, and sends nobody away.
  auto before = all.counted().bytes;
  all.trouble({grammar_kind::regex, std::string(20'000, 'a')});
  EXPECT_EQ(all.counted().bytes, before);
  all.trouble(source(50));
  EXPECT_EQ(all.counted().compiled, 102u) << "it is known still";
}
