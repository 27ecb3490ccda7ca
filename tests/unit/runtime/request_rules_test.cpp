#include "runtime/request_rules.hpp"

#include <gtest/gtest.h>

#include <cmath>

using namespace troupe;

namespace {

generation_request request(uint32_t num_prompt, uint32_t max_tokens) {
  generation_request out;
  out.prompt.assign(num_prompt, 3);
  out.max_tokens = max_tokens;
  return out;
}

const request_rules rules{64, 16, 2};

std::optional<request_fault> fault_of(generation_request x) {
  auto refusal = settle(x, rules);
  return refusal ? std::optional{refusal->why} : std::nullopt;
}

} // namespace

TEST(RequestRules, TakeWhatFits) {
  EXPECT_EQ(fault_of(request(1, 63)), std::nullopt);
  EXPECT_EQ(fault_of(request(63, 1)), std::nullopt);
  EXPECT_EQ(fault_of(request(1, 0)), std::nullopt);
}

TEST(RequestRules, BoundPriorities) {
  auto with = [](int32_t priority) {
    auto out = request(1, 1);
    out.priority = priority;
    return fault_of(out);
  };
  for (auto x : {-max_priority, 0, max_priority})
    EXPECT_EQ(with(x), std::nullopt);
  for (auto x : {-max_priority - 1, max_priority + 1, INT32_MIN, INT32_MAX})
    EXPECT_EQ(with(x), request_fault::wrong_priority);
}

TEST(RequestRules, SettleAnAnswerWithoutALimit) {
  auto x = request(10, 0);
  ASSERT_FALSE(settle(x, rules));
  EXPECT_EQ(x.max_tokens, 54u);
  x = request(10, 7);
  ASSERT_FALSE(settle(x, rules));
  EXPECT_EQ(x.max_tokens, 7u);
}

TEST(RequestRules, CopyOnlyWhatIsOpen) {
  auto whole = std::make_shared<generation_request>(request(10, 7));
  std::shared_ptr<const generation_request> x = whole;
  ASSERT_FALSE(settle(x, rules));
  EXPECT_EQ(x, whole);
  auto open = std::make_shared<generation_request>(request(10, 0));
  x = open;
  ASSERT_FALSE(settle(x, rules));
  EXPECT_EQ(x->max_tokens, 54u);
  EXPECT_EQ(x->prompt, open->prompt);
  EXPECT_EQ(open->max_tokens, 0u) << "others read it";
  x = std::make_shared<generation_request>(request(64, 0));
  EXPECT_EQ(settle(x, rules)->why, request_fault::too_long);
}

TEST(RequestRules, RefuseWhatIsTooLongWithTheNumbers) {
  auto x = request(60, 5);
  auto refusal = settle(x, rules);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->why, request_fault::too_long);
  EXPECT_EQ(refusal->given, 60);
  EXPECT_EQ(refusal->limit, 64);
  EXPECT_EQ(refusal->max_tokens, 5u);
  EXPECT_EQ(to_failure(*refusal).code, errc::context_too_long);
  EXPECT_EQ(to_failure(*refusal).message,
            "a prompt of 60 tokens and an answer of 5 do not fit into a "
            "context of 64");
  EXPECT_EQ(fault_of(request(64, 0)), request_fault::too_long);
  EXPECT_EQ(fault_of(request(1, UINT32_MAX)), request_fault::too_long);
}

TEST(RequestRules, TakeSegmentsThatAreThePrompt) {
  auto x = request(10, 1);
  using enum segment_author;
  x.segments = {{4, given}, {6, generated}};
  EXPECT_EQ(fault_of(x), std::nullopt);
  for (const std::vector<prompt_segment>& wrong :
       {std::vector<prompt_segment>{{9, given}},
        {{4, given}, {7, generated}},
        {{10, given}, {0, generated}},
        {{UINT32_MAX, given}, {11, given}}}) {
    x.segments = wrong;
    EXPECT_EQ(fault_of(x), request_fault::wrong_segments);
  }
}

TEST(RequestRules, JudgeWhatIsAnsweredAlready) {
  auto x = request(10, 3);
  auto fault = [&](std::vector<int32_t> answered) {
    auto refusal = judge_answered(x, answered, rules);
    return refusal ? std::optional{refusal->why} : std::nullopt;
  };
  EXPECT_EQ(fault({}), std::nullopt);
  EXPECT_EQ(fault({1, 15}), std::nullopt);
  EXPECT_EQ(fault({1, 2, 3}), request_fault::answered_all);
  EXPECT_EQ(fault({1, 16}), request_fault::unknown_token);
  EXPECT_EQ(fault({-1}), request_fault::unknown_token);
}

TEST(RequestRules, RefusePromptsThatTheModelDoesNotKnow) {
  EXPECT_EQ(fault_of(request(0, 1)), request_fault::empty_prompt);
  for (int32_t token : {-1, 16, INT32_MIN, INT32_MAX}) {
    auto x = request(3, 1);
    x.prompt[2] = token;
    auto refusal = settle(x, rules);
    ASSERT_TRUE(refusal) << token;
    EXPECT_EQ(refusal->why, request_fault::unknown_token);
    EXPECT_EQ(to_failure(*refusal).message,
              "token " + std::to_string(token)
                + " is not in the vocabulary of 16");
  }
}

TEST(RequestRules, RefuseSamplingThatMakesNoSense) {
  for (auto bad : {-1.f, 101.f, std::nanf("")}) {
    auto x = request(1, 1);
    x.sampling.temperature = bad;
    EXPECT_EQ(fault_of(x), request_fault::wrong_sampling) << bad;
  }
  for (auto bad : {0.f, 1.5f, std::nanf("")}) {
    auto x = request(1, 1);
    x.sampling.top_p = bad;
    EXPECT_EQ(fault_of(x), request_fault::wrong_sampling) << bad;
  }
}

TEST(RequestRules, RefusePenaltiesAndBiasesOutOfTheirRanges) {
  using field = float sampling_params::*;
  const std::vector<std::pair<field, std::vector<float>>> bad{
    {&sampling_params::min_p, {-0.1f, 1.1f, std::nanf("")}},
    {&sampling_params::repetition_penalty, {0, -1, 101, std::nanf("")}},
    {&sampling_params::presence_penalty, {-2.1f, 2.1f, std::nanf("")}},
    {&sampling_params::frequency_penalty, {-2.1f, 2.1f, std::nanf("")}}};
  for (auto& [what, values] : bad)
    for (auto value : values) {
      auto x = request(1, 1);
      x.sampling.*what = value;
      EXPECT_EQ(fault_of(x), request_fault::wrong_sampling) << value;
    }
  const std::vector<std::vector<logit_bias>> lists{
    {{1, 101}},
    {{1, std::nanf("")}},
    {{2, 1}, {1, 1}},
    {{1, 1}, {1, 1}},
    std::vector<logit_bias>(max_biases + 1)};
  for (auto& biases : lists) {
    auto x = request(1, 1);
    x.sampling.biases = biases;
    EXPECT_EQ(fault_of(x), request_fault::wrong_sampling);
  }
  auto x = request(1, 1);
  x.sampling = {0, 1, 0, 1, 1, 100, -2, 2, {{0, 100}, {15, -100}}};
  EXPECT_EQ(fault_of(x), std::nullopt);
}

TEST(RequestRules, RefuseEndsThatCannotBe) {
  auto x = request(1, 3);
  x.stop_ids.assign(max_stop_ids, 5);
  x.min_tokens = 3;
  EXPECT_EQ(fault_of(x), std::nullopt);
  x.stop_ids.push_back(5);
  EXPECT_EQ(fault_of(x), request_fault::many_stop_ids);
  x.stop_ids = {16};
  EXPECT_EQ(fault_of(x), request_fault::unknown_token);
  x.stop_ids.clear();
  x.sampling.biases = {{-1, 1}};
  EXPECT_EQ(fault_of(x), request_fault::unknown_token);
  x.sampling.biases.clear();
  x.min_tokens = 4;
  EXPECT_EQ(fault_of(x), request_fault::wrong_min_tokens);
  x.max_tokens = 0; // as many as there is room for
  EXPECT_EQ(fault_of(x), std::nullopt);
  x.min_tokens = 1000;
  EXPECT_EQ(fault_of(x), request_fault::wrong_min_tokens);
}

TEST(RequestRules, RefuseAGrammarThatIsTooLong) {
  auto x = request(1, 1);
  x.grammar = {grammar_kind::regex, std::string(max_grammar_source, 'a')};
  EXPECT_EQ(fault_of(x), std::nullopt);
  x.grammar.text += 'a';
  EXPECT_EQ(fault_of(x), request_fault::long_grammar);
}

TEST(RequestRules, RefuseARankThatThereIsNot) {
  auto x = request(1, 1);
  x.rank = 1;
  EXPECT_EQ(fault_of(x), std::nullopt);
  x.rank = 2;
  EXPECT_EQ(fault_of(x), request_fault::unknown_rank);
}
