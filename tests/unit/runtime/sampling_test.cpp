#include "runtime/sampling.hpp"

#include "tests/unit/runtime/grammar_texts.hpp"

#include "kernels/reference/operations.hpp"
#include "runtime/philox.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <tuple>

using namespace troupe;

namespace {

using words = std::array<uint32_t, 4>;

std::vector<float> random_logits(size_t size, uint32_t seed) {
  std::mt19937 random{seed};
  std::normal_distribution<float> normal{0, 3};
  std::vector<float> logits(size);
  std::generate(logits.begin(), logits.end(), [&] { return normal(random); });
  return logits;
}

int32_t sampled(const std::vector<float>& logits, const sampling_params& params,
                uint32_t position = 0) {
  auto count = static_cast<uint32_t>(logits.size());
  return kernels::reference::choose(logits.data(),
                                    draw_of(params, count, position));
}

std::set<int32_t> all_sampled(const std::vector<float>& logits,
                              const sampling_params& params) {
  std::set<int32_t> ids;
  for (uint32_t position = 0; position < 2000; ++position)
    ids.insert(sampled(logits, params, position));
  return ids;
}

/// The definition, by sorting everything: the tokens that may be chosen.
std::set<int32_t> allowed(const std::vector<float>& logits,
                          const sampling_params& params) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
    return logits[size_t(a)] > logits[size_t(b)];
  });
  if (params.top_k > 0 && params.top_k < ids.size())
    ids.resize(params.top_k);
  auto weight = [&](int32_t id) {
    return std::exp(double(logits[size_t(id)]) / params.temperature);
  };
  double total = 0;
  for (auto id : ids)
    total += weight(id);
  double sum = 0;
  size_t keep = 0;
  while (keep < ids.size() && (keep == 0 || sum < params.top_p * total))
    sum += weight(ids[keep++]);
  return {ids.begin(), ids.begin() + ptrdiff_t(keep)};
}

} // namespace

TEST(Philox, GivesTheKnownAnswersOfRandom123) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                       {0xa4093822, 0x299f31d0}),
            (words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Point, IsTheUpper53BitsOfTheFirstTwoWords) {
  EXPECT_EQ(point_of(0, 0), 0xe169c58d6627e8d5 >> 11);
}

TEST(Point, UsesAllOfSeedAndPosition) {
  std::set<uint64_t> values;
  for (uint64_t seed : {0ull, 1ull, 1ull << 32})
    for (uint64_t position : {0ull, 1ull, 1ull << 32})
      values.insert(point_of(seed, position));
  EXPECT_EQ(values.size(), 9u);
  EXPECT_LT(*values.rbegin(), uint64_t{1} << 53);
}

TEST(Draw, IsWhatTheRequestAsksForAtItsPosition) {
  sampling_params params{
    .temperature = 0.6f, .top_p = 0.9f, .top_k = 7, .seed = 3};
  auto draw = draw_of(params, 100, 5);
  EXPECT_EQ(draw.temperature, 0.6f);
  EXPECT_EQ(draw.top_p, 0.9f);
  EXPECT_EQ(draw.top_k, 7u);
  EXPECT_EQ(draw.num_choices, 100u);
  EXPECT_EQ(draw.point, point_of(3, 5));
}

// -- edits --------------------------------------------------------------------

namespace {

constexpr int32_t end_id = 9;

generation_request request_of(std::vector<int32_t> prompt,
                              const sampling_params& how) {
  generation_request out;
  out.prompt = std::move(prompt);
  out.sampling = how;
  out.max_tokens = 20;
  return out;
}

/// The edits of the draw after `answer`, as tuples.
using edit = std::tuple<uint32_t, float, float, float>;

std::vector<edit> edits(const generation_request& request,
                        const std::vector<int32_t>& answer) {
  const int32_t eos[] = {end_id};
  answer_draws draws{request, 50, eos};
  auto draw = draws.after(answer);
  std::vector<edit> out;
  if (draw.edits)
    for (auto& x : *draw.edits)
      out.emplace_back(x.id, x.bias, x.repetition, x.penalty);
  return out;
}

} // namespace

TEST(AnswerDraws, HaveNoEditsIfNothingAsksForThem) {
  auto request = request_of({1, 2}, {.min_p = 0.5f});
  EXPECT_TRUE(edits(request, {3, 4, 4}).empty());
  const int32_t eos[] = {end_id};
  answer_draws draws{request, 50, eos};
  auto draw = draws.after(std::vector<int32_t>{3, 4});
  EXPECT_EQ(draw.edits, nullptr);
  EXPECT_EQ(draw.min_p, 0.5f);
  EXPECT_EQ(draw.point, point_of(0, 2));
  EXPECT_EQ(draw.num_choices, 50u);
}

TEST(AnswerDraws, RepetitionKnowsPromptAndAnswerTheOthersTheAnswer) {
  auto request = request_of({7, 1, 7}, {.repetition_penalty = 1.5f,
                                        .presence_penalty = 0.5f,
                                        .frequency_penalty = 0.25f});
  EXPECT_EQ(edits(request, {}),
            (std::vector<edit>{{1, 0, 1.5f, 0}, {7, 0, 1.5f, 0}}));
  EXPECT_EQ(
    edits(request, {3, 7, 3}),
    (std::vector<edit>{{1, 0, 1.5f, 0}, {3, 0, 1.5f, 1}, {7, 0, 1.5f, 0.75f}}));
}

TEST(AnswerDraws, AddBiasesAndLeaveOutWhatIsNeverChosen) {
  auto request = request_of({60}, {.repetition_penalty = 2});
  request.sampling.biases = {{2, 5.5f}, {49, -100}, {50, 1}};
  EXPECT_EQ(edits(request, {}),
            (std::vector<edit>{{2, 5.5f, 1, 0}, {49, -100, 1, 0}}));
}

TEST(AnswerDraws, ForbidWhatWouldEndAnAnswerThatIsTooShort) {
  auto request = request_of({1}, {});
  request.min_tokens = 2;
  request.stop_ids = {4};
  request.sampling.biases = {{4, 3}};
  EXPECT_EQ(edits(request, {5}),
            (std::vector<edit>{{4, -INFINITY, 1, 0}, {9, -INFINITY, 1, 0}}));
  EXPECT_EQ(edits(request, {5, 5}), (std::vector<edit>{{4, 3, 1, 0}}));
  request.ignore_eos = true; // then it ends nothing
  EXPECT_EQ(edits(request, {5}), (std::vector<edit>{{4, -INFINITY, 1, 0}}));
}

TEST(AnswerDraws, AreTheSameHoweverTheAnswerWasHandedIn) {
  auto request = request_of(
    {1, 2, 3}, {.repetition_penalty = 1.1f, .frequency_penalty = 0.1f});
  const int32_t eos[] = {end_id};
  answer_draws one_by_one{request, 50, eos};
  std::vector<int32_t> answer;
  for (int32_t i = 0; i < 40; ++i) {
    auto got = one_by_one.after(answer);
    answer_draws at_once{request, 50, eos};
    auto want = at_once.after(answer);
    ASSERT_EQ(got.edits->size(), want.edits->size());
    for (size_t k = 0; k < got.edits->size(); ++k) {
      EXPECT_EQ((*got.edits)[k].id, (*want.edits)[k].id);
      EXPECT_EQ((*got.edits)[k].penalty, (*want.edits)[k].penalty);
    }
    answer.push_back(i * i % 17);
  }
}

TEST(AnswerDraws, KnowWhichTokensEndIt) {
  auto request = request_of({1}, {});
  request.stop_ids = {4};
  const int32_t eos[] = {end_id};
  EXPECT_TRUE((answer_draws{request, 50, eos}).is_end(end_id));
  EXPECT_TRUE((answer_draws{request, 50, eos}).is_end(4));
  EXPECT_FALSE((answer_draws{request, 50, eos}).is_end(5));
  request.ignore_eos = true;
  EXPECT_FALSE((answer_draws{request, 50, eos}).is_end(end_id));
  EXPECT_TRUE((answer_draws{request, 50, eos}).is_end(4));
}

TEST(Sampling, GreedyTakesTheLargestAndTheLowestIdOfEquals) {
  EXPECT_EQ(sampled({1, 5, 5, 2}, {.temperature = 0}), 1);
  EXPECT_EQ(sampled({-3, -2, -9}, {.temperature = 0}), 1);
}

TEST(Sampling, GreedyTakesTheFirstOfTheLargestWhereverItLies) {
  sampling_params greedy;
  greedy.temperature = 0;
  for (uint32_t count : {1u, 15u, 16u, 17u, 33u, 100u})
    for (uint32_t at = 0; at < count; ++at) {
      std::vector<float> logits(count, -2.0f);
      logits[at] = -1;
      if (count > 1)
        logits[(at + 7) % count] = -INFINITY;
      logits[count - 1] = std::max(logits[count - 1], logits[at]);
      uint32_t want = 0;
      for (uint32_t i = 1; i < count; ++i)
        if (logits[i] > logits[want])
          want = i;
      EXPECT_EQ(sampled(logits, greedy), int32_t(want))
        << at << " of " << count;
    }
}

TEST(Sampling, ChoosesNothingWhereOneLogitIsNaNOrTheLargestIsInfinite) {
  for (float temperature : {0.0f, 1.0f})
    for (uint32_t count : {1u, 16u, 17u, 100u})
      for (uint32_t at = 0; at < count; ++at) {
        sampling_params params{.temperature = temperature, .top_k = 2};
        for (float bad : {NAN, -NAN, INFINITY}) {
          std::vector<float> logits(count, 1.0f);
          logits[at] = bad;
          EXPECT_EQ(sampled(logits, params), -1) << bad << " at " << at;
        }
        std::vector<float> logits(count, -INFINITY);
        EXPECT_EQ(sampled(logits, params), -1);
        logits[at] = 1; // forbidden tokens are no fault
        EXPECT_EQ(sampled(logits, params), int32_t(at));
      }
}

TEST(Sampling, NeverLooksBeyondTheVocabulary) {
  for (float beyond : {100.0f, NAN}) {
    std::vector<float> logits{1, 2, 3, beyond};
    auto id = [&](const sampling_params& params, uint32_t position) {
      return kernels::reference::choose(logits.data(),
                                        draw_of(params, 3, position));
    };
    EXPECT_EQ(id({.temperature = 0}, 0), 2);
    for (uint32_t position = 0; position < 200; ++position) {
      EXPECT_GE(id({}, position), 0);
      EXPECT_LT(id({}, position), 3);
    }
  }
}

TEST(Sampling, InvertsTheDistributionInOrderOfId) {
  auto logits = random_logits(50, 1);
  for (float temperature : {0.1f, 1.0f, 3.0f})
    for (uint32_t position = 0; position < 300; ++position) {
      sampling_params params{.temperature = temperature, .seed = 7};
      double total = 0;
      for (auto x : logits)
        total += std::exp(double(x) / temperature);
      double sum = 0;
      int32_t id = 0;
      for (;; ++id)
        if ((sum += std::exp(double(logits[size_t(id)]) / temperature) / total)
            > double(point_of(7, position)) * 0x1p-53)
          break;
      ASSERT_EQ(sampled(logits, params, position), id) << position;
    }
}

TEST(Sampling, FrequenciesAreTheProbabilities) {
  std::vector<float> logits{0, std::log(2.0f), std::log(5.0f)};
  std::array<int, 3> counts{};
  for (uint32_t position = 0; position < 8000; ++position)
    ++counts[size_t(sampled(logits, {.seed = 3}, position))];
  EXPECT_NEAR(counts[0], 1000, 150);
  EXPECT_NEAR(counts[1], 2000, 200);
  EXPECT_NEAR(counts[2], 5000, 250);
}

TEST(Sampling, TopKAndTopPKeepWhatTheDefinitionKeeps) {
  for (uint32_t seed = 0; seed < 6; ++seed)
    for (uint32_t top_k : {0u, 1u, 2u, 7u, 40u, 5000u})
      for (float top_p : {0.05f, 0.5f, 0.9f, 1.0f}) {
        auto logits = random_logits(40, seed);
        sampling_params params{
          .temperature = 2, .top_p = top_p, .top_k = top_k};
        auto may = allowed(logits, params);
        auto seen = all_sampled(logits, params);
        EXPECT_TRUE(
          std::includes(may.begin(), may.end(), seen.begin(), seen.end()))
          << "seed " << seed << " top_k " << top_k << " top_p " << top_p;
        if (may.size() <= 8) {
          EXPECT_EQ(seen, may)
            << "seed " << seed << " top_k " << top_k << " top_p " << top_p;
        }
      }
}

TEST(Sampling, TiesAtTheEdgeGoToLowerIds) {
  std::vector<float> logits(300, 1.0f);
  EXPECT_EQ(all_sampled(logits, {.top_k = 3}), (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(all_sampled(logits, {.top_p = 0.01f}),
            (std::set<int32_t>{0, 1, 2}));
}

TEST(Sampling, AFlatDistributionKeepsItsNucleusThroughManyRounds) {
  std::vector<float> logits(20000, 0.0f);
  for (uint32_t position = 0; position < 50; ++position)
    EXPECT_LT(sampled(logits, {.top_p = 0.5f}, position), 10000);
}

TEST(Sampling, TheSmallestTopPKeepsOne) {
  EXPECT_EQ(all_sampled({1, 2, 3}, {.top_p = 1e-9f}), (std::set<int32_t>{2}));
}

TEST(Sampling, ATinyTemperatureIsGreedy) {
  EXPECT_EQ(all_sampled({1, 3, 2}, {.temperature = 1e-40f}),
            (std::set<int32_t>{1}));
}

// -- grammars -----------------------------------------------------------------

TEST(AnswerDraws, AllowWhatTheGrammarSaysAndTheEndWhereItMayBe) {
  auto& words = some_tokenizer();
  auto grammar = std::make_shared<grammar_masks>(
    compiled({grammar_kind::regex, "(no )+"}), some_vocabulary());
  auto num_choices = words.vocab_size() + 100; // beyond are those without text
  const int32_t eos[] = {end_id};
  auto request = request_of({1}, {});
  request.stop_ids = {words.encode("n", specials::plain).at(0), 8};
  answer_draws draws{request, num_choices, eos, grammar};
  auto may = [&](const std::vector<int32_t>& answer, int32_t id) {
    auto bits = draws.after(answer).allowed;
    EXPECT_GE(bits->size() * 64, num_choices);
    return ((*bits)[size_t(id) / 64] >> (id % 64) & 1) != 0;
  };
  EXPECT_FALSE(may({}, end_id));
  EXPECT_FALSE(may({}, 8));
  EXPECT_TRUE(may({}, request.stop_ids[0])) << "it is the text's as well";
  EXPECT_FALSE(may({}, int32_t(num_choices) - 1));
  auto answer = words.encode("no ", specials::plain);
  EXPECT_TRUE(may(answer, end_id));
  EXPECT_TRUE(may(answer, 8));
  std::optional<failure> cause;
  EXPECT_EQ(draws.end_of(answer, cause), finish_reason::none);
  request.ignore_eos = true;
  request.stop_ids.clear();
  answer_draws other{request, num_choices, eos, grammar};
  auto bits = other.after(answer).allowed;
  EXPECT_EQ((*bits)[0] >> end_id & 1, 0u);
  EXPECT_EQ((answer_draws{request, 50, eos}).end_of(answer, cause),
            finish_reason::none);
}

TEST(AnswerDraws, EndWhereTheGrammarDoes) {
  auto& words = some_tokenizer();
  auto request = request_of({1}, {});
  request.ignore_eos = true;
  auto grammar = std::make_shared<grammar_masks>(
    compiled({grammar_kind::choice, R"(["yes", "no"])"}), some_vocabulary());
  answer_draws draws{request, words.vocab_size(), {}, grammar};
  auto answer = words.encode("yes", specials::plain);
  std::optional<failure> cause;
  EXPECT_EQ(draws.end_of(std::span{answer}.first(0), cause),
            finish_reason::none);
  EXPECT_EQ(draws.end_of(answer, cause), finish_reason::stop);
  answer_draws lost{request, words.vocab_size(), {}, grammar};
  EXPECT_EQ(lost.end_of(words.encode("maybe", specials::plain), cause),
            finish_reason::length);
  EXPECT_FALSE(cause);
}

TEST(AnswerDraws, RefuseAnAnswerWhoseGrammarTakesTooMuch) {
  auto& words = some_tokenizer();
  auto request = request_of({1}, {});
  grammar_limits small;
  small.max_step_work = 8;
  auto grammar = std::make_shared<grammar_masks>(
    compiled({grammar_kind::regex, "((a|b)*c?){9}"}), some_vocabulary(), small);
  answer_draws draws{request, words.vocab_size(), {}, grammar};
  auto answer = words.encode("ab", specials::plain);
  for (int i = 0; i < 2; ++i) { // it stays so
    std::optional<failure> cause;
    EXPECT_EQ(draws.end_of(answer, cause), finish_reason::failed);
    ASSERT_TRUE(cause);
    EXPECT_EQ(cause->code, errc::invalid_input);
    cause.reset();
    EXPECT_EQ(draws.end_of(answer, cause, true), finish_reason::none);
    EXPECT_FALSE(cause) << "nothing is to follow";
    EXPECT_EQ(draws.end_without_choice(answer, cause), finish_reason::failed);
    EXPECT_TRUE(cause);
  }
}

TEST(AnswerDraws, FollowALongAnswerThatGoesOnHereAFewTokensAtATime) {
  auto& words = some_tokenizer();
  auto request = request_of({1}, {});
  grammar_limits small;
  small.max_step_work = 4096;
  grammar_source source{grammar_kind::regex, "(ab?c){100,200}"};
  auto grammar = std::make_shared<grammar_masks>(
    compiled(source), some_vocabulary(), small,
    [](uint64_t, const std::function<void()>& job) {
      job();
      return true;
    });
  std::string text;
  for (int i = 0; i < 150; ++i)
    text += i % 3 == 0 ? "ac" : "abc";
  auto answer = words.encode(text, specials::plain);
  int calls = 0;
  answer_draws draws{
    request, words.vocab_size(), {}, grammar, waker([&] { ++calls; })};
  int asked = 1;
  for (; !draws.is_ready(answer); ++asked) {
    ASSERT_EQ(calls, asked) << "it is asked again";
    ASSERT_LT(asked, 1000);
  }
  EXPECT_GT(asked, 5);
  answer_draws whole{
    request,
    words.vocab_size(),
    {},
    std::make_shared<grammar_masks>(compiled(source), some_vocabulary())};
  EXPECT_EQ(*draws.after(answer).allowed, *whole.after(answer).allowed);
}

TEST(AnswerDraws, RefuseAnAnswerThatNobodyHasTheTimeFor) {
  auto request = request_of({1}, {});
  // It may end at once, but that is not known to be all that it may do.
  auto grammar = std::make_shared<grammar_masks>(
    compiled({grammar_kind::regex, "a*"}), some_vocabulary(), grammar_limits{},
    [](uint64_t, const std::function<void()>&) { return false; });
  const std::vector<int32_t> ends{2};
  answer_draws draws{request, some_tokenizer().vocab_size(), ends, grammar,
                     waker([] {})};
  EXPECT_TRUE(draws.is_ready({}));
  auto bits = draws.after({}).allowed;
  EXPECT_EQ(std::ranges::count(*bits, 0u), long(bits->size()));
  std::optional<failure> cause;
  EXPECT_EQ(draws.end_without_choice({}, cause), finish_reason::failed);
  ASSERT_TRUE(cause);
  EXPECT_EQ(cause->code, errc::overloaded);
  EXPECT_EQ(grammar->counted().made, 0u) << "and never makes it here";
}
