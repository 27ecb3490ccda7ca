#include "runtime/model/attention_forms.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

using enum segment_author;
using segments = std::vector<prompt_segment>;
using runs = std::vector<form_run>;

constexpr auto absorbed = attention_form::absorbed;
constexpr auto multi_head = attention_form::multi_head;

runs forms_of(const segments& all) {
  size_t num_tokens = 0;
  for (auto& x : all)
    num_tokens += x.length;
  return forms_of_prompt(num_tokens, all);
}

} // namespace

TEST(AttentionForms, OfAPlainPromptDependOnItsLength) {
  EXPECT_EQ(forms_of_prompt(1, {}), (runs{{absorbed, 1}}));
  EXPECT_EQ(forms_of_prompt(127, {}), (runs{{absorbed, 127}}));
  EXPECT_EQ(forms_of_prompt(128, {}), (runs{{multi_head, 128}}));
}

TEST(AttentionForms, OfASegmentDependOnNothingButItself) {
  EXPECT_EQ(forms_of({{127, given}, {127, given}}), (runs{{absorbed, 254}}));
  EXPECT_EQ(forms_of({{128, given}, {127, given}}),
            (runs{{multi_head, 128}, {absorbed, 255}}));
  EXPECT_EQ(forms_of({{128, given}, {500, given}}), (runs{{multi_head, 628}}));
}

TEST(AttentionForms, OfWhatWasGeneratedAreAbsorbedHoweverLongItIs) {
  EXPECT_EQ(forms_of({{128, given},
                      {1000, generated},
                      {3, given},
                      {200, given},
                      {3, generated}}),
            (runs{{multi_head, 128},
                  {absorbed, 1131},
                  {multi_head, 1331},
                  {absorbed, 1334}}));
}
