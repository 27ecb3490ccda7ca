/// What is asked when, from laws and from traces.

#include "runtime/bench/load_plan.hpp"

#include "runtime/bench/load_summary.hpp"
#include "runtime/bench/prompt_writer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

namespace troupe::bench {

namespace {

using std::chrono::milliseconds;

std::vector<double> gaps_of(const std::vector<planned_request>& all) {
  std::vector<double> out;
  for (size_t i = 1; i < all.size(); ++i)
    out.push_back(double((all[i].arrival - all[i - 1].arrival).count()) * 1e-9);
  return out;
}

plan_options arrivals(double burstiness) {
  plan_options x;
  x.num_requests = 20'000;
  x.rate = 50;
  x.burstiness = burstiness;
  return x;
}

TEST(LoadPlan, ArrivalsHaveTheirRateAndTheirBurstiness) {
  for (double burstiness : {0.25, 1.0, 4.0}) {
    auto gaps = describe(gaps_of(plan_load(arrivals(burstiness))));
    EXPECT_NEAR(gaps.mean, 0.02, 0.001) << burstiness;
    // A gamma law's variation is the root of one over its shape.
    EXPECT_NEAR(gaps.deviation / gaps.mean, 1 / std::sqrt(burstiness), 0.05)
      << burstiness;
  }
  // Of gaps without memory 63 % are shorter than the mean.
  auto gaps = gaps_of(plan_load(arrivals(1)));
  auto shorter = std::ranges::count_if(gaps, [](auto x) { return x < 0.02; });
  EXPECT_NEAR(double(shorter) / double(gaps.size()), 0.632, 0.01);
}

TEST(LoadPlan, IsTheSameForTheSameSeed) {
  auto options = arrivals(1);
  options.prompt = *length_law::parse("1-1000");
  options.output = *length_law::parse("lognormal:100,1");
  auto one = plan_load(options), again = plan_load(options);
  EXPECT_EQ(one, again);
  options.seed = 1;
  EXPECT_NE(one, plan_load(options));
  // What is drawn for one thing changes nothing of another.
  options.seed = 0;
  options.output = length_law{7};
  options.rate = plan_options::at_once;
  auto other = plan_load(options);
  for (size_t i = 0; i < one.size(); ++i) {
    ASSERT_EQ(other[i].prompt_tokens, one[i].prompt_tokens);
    ASSERT_EQ(other[i].output_tokens, 7u);
    ASSERT_EQ(other[i].arrival.count(), 0);
  }
}

TEST(LengthLaw, DrawsWhatItSays) {
  chance from{3, 1};
  auto fixed = *length_law::parse("512"), some = *length_law::parse("3-5");
  std::set<uint32_t> seen;
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(fixed.draw(from), 512u);
    seen.insert(some.draw(from));
  }
  EXPECT_EQ(seen, (std::set<uint32_t>{3, 4, 5}));
  std::vector<double> drawn;
  auto lognormal = *length_law::parse("lognormal:500,0.5");
  for (int i = 0; i < 20'000; ++i)
    drawn.push_back(lognormal.draw(from));
  auto spread = describe(drawn);
  EXPECT_NEAR(spread.p50, 500, 10);
  EXPECT_NEAR(spread.mean, 500 * std::exp(0.125), 15);
}

TEST(LengthLaw, IsRefusedWhereItIsNone) {
  for (auto text : {"", "0", "x", "5-3", "1-", "-1", "1-2-3", "99999999999",
                    "lognormal:5", "lognormal:,1", "lognormal:5,-1",
                    "lognormal:5,nan", "lognormal:0,1", "1.5"})
    EXPECT_FALSE(length_law::parse(text)) << text;
}

// -- traces -------------------------------------------------------------------

const std::string two_columns = "# real\nt_ms,input_tokens,output_tokens\n";

TEST(Trace, BeginsAtNoughtAndIsOrdered) {
  auto x = parse_trace(two_columns
                         + "1500,10,20\n\n1000,30,40\r\n# x\n"
                           "2000.5,5,0",
                       "t", {});
  ASSERT_TRUE(x) << x.why().message;
  std::vector<planned_request> expected{
    {milliseconds{0}, 30, 40},
    {milliseconds{500}, 10, 20},
    {std::chrono::microseconds{1000500}, 5, 1}};
  EXPECT_EQ(x->requests, expected);
  EXPECT_EQ(x->num_shortened, 0u);
}

TEST(Trace, IsShortenedAndHastened) {
  trace_options options{2, 4, 8, 10};
  auto x = parse_trace(two_columns + "0,9,9\n1000,8,11\n2000,1,1\n", "t",
                       options);
  ASSERT_TRUE(x) << x.why().message;
  std::vector<planned_request> expected{{milliseconds{0}, 8, 9},
                                        {milliseconds{250}, 8, 10}};
  EXPECT_EQ(x->requests, expected);
  EXPECT_EQ(x->num_shortened, 2u);
}

TEST(Trace, AddsUpReasonsAndAnswers) {
  auto x = parse_trace("t_ms,client,input_tokens,reason_tokens,answer_tokens\n"
                       "5,3,7,10,20\n",
                       "t", {});
  ASSERT_TRUE(x) << x.why().message;
  EXPECT_EQ(x->requests, (std::vector<planned_request>{{{}, 7, 30}}));
}

TEST(Trace, IsRefusedWithItsLine) {
  for (std::string rest : {"x,1,1\n", "1,1\n", "1,1,1,1\n", "-1,1,1\n",
                           "1,-1,1\n", "1,1,\n", "1,1,1e99\n", "nan,1,1\n"}) {
    auto x = parse_trace(two_columns + "0,1,1\n" + rest, "t", {});
    ASSERT_FALSE(x) << rest;
    EXPECT_EQ(x.why().message, "t, line 4: is no request");
  }
  for (std::string text :
       {std::string{}, two_columns, std::string{"t_ms,input_tokens\n1,2\n"},
        std::string{"t_ms,input_tokens,answer_tokens\n1,2,3\n"}})
    EXPECT_FALSE(parse_trace(text, "t", {})) << text;
}

// -- prompts ------------------------------------------------------------------

size_t words_in(const std::string& text) {
  std::istringstream in{text};
  return size_t(std::distance(std::istream_iterator<std::string>{in}, {}));
}

TEST(PromptWriter, HasAsManyWordsAsTheTokensNeed) {
  auto measure = word_measure::from(16, 30, 144, 222); // 6 + 1.5 words
  EXPECT_DOUBLE_EQ(measure.per_word, 1.5);
  EXPECT_DOUBLE_EQ(measure.base, 6);
  prompt_writer writer{1, 0, measure};
  EXPECT_EQ(words_in(writer.text(0, 306)), 200u);
  EXPECT_EQ(words_in(writer.text(0, 1)), 1u);
  // A server that counts strangely: a word is a token then.
  EXPECT_EQ(word_measure::from(16, 9, 144, 9).words_for(50), 50u);
}

TEST(PromptWriter, MeasuresWordsWithEachOfThem) {
  auto writer = prompt_writer::of_each_word();
  std::istringstream in{writer.text(0, 3 * prompt_writer::num_words)};
  std::map<std::string, int> seen;
  for (std::string word; in >> word;)
    ++seen[word];
  EXPECT_EQ(seen.size(), prompt_writer::num_words);
  for (auto& [word, count] : seen)
    EXPECT_EQ(count, 3) << word;
}

TEST(PromptWriter, SharesABeginAndNoMore) {
  prompt_writer writer{1, 20, {}};
  auto a = writer.text(0, 40), b = writer.text(1, 40);
  EXPECT_NE(a, b);
  auto same = std::ranges::mismatch(a, b).in1 - a.begin();
  EXPECT_GE(words_in(a.substr(0, size_t(same))), 20u);
  EXPECT_LT(words_in(a.substr(0, size_t(same))), 30u);
  EXPECT_EQ(a, writer.text(0, 40));
  auto x = writer.ids(0, 40, 1000), y = writer.ids(1, 40, 1000);
  EXPECT_EQ(x.size(), 40u);
  EXPECT_TRUE(std::equal(x.begin(), x.begin() + 20, y.begin()));
  EXPECT_FALSE(std::equal(x.begin() + 20, x.end(), y.begin() + 20));
  EXPECT_GE(*std::ranges::min_element(x), 250u);
  EXPECT_LT(*std::ranges::max_element(x), 750u);
}

} // namespace

} // namespace troupe::bench
