#include "actors/grammar_desk.hpp"
#include "tests/places.hpp"
#include "tests/unit/actors/scheduler_fixture.hpp"

using namespace troupe;

namespace {

constexpr uint32_t vocab_size = 8;

class Scheduler : public scheduler_fixture {
protected:
  Scheduler() {
    make_rank(4);
    start(64, vocab_size);
  }

  void request(request_id id, std::vector<int32_t> prompt,
               uint32_t max_tokens = 4) {
    auto what = std::make_shared<generation_request>();
    what->prompt = std::move(prompt);
    what->max_tokens = max_tokens;
    what->sampling.temperature = 0;
    say(scheduler_actor_, run_request{id, 7, 0, 5, what, {}});
  }

  std::vector<tokens_ready> answers() const {
    return answers_->of<tokens_ready>();
  }
};

} // namespace

TEST_F(Scheduler, HasOneStepOutAtATime) {
  request(1, {1, 2});
  request(2, {3});
  ASSERT_EQ(num_steps(), 1u);
  EXPECT_EQ(last_step()->rows.num_rows(), 2u);
  end_step(4);
  ASSERT_EQ(num_steps(), 2u);
  EXPECT_EQ(last_step()->rows.sequences.size(), 2u) << "the other one joins";
}

TEST_F(Scheduler, AnswersWithTheTermThatItWasGiven) {
  request(1, {1}, 2);
  end_step(4);
  end_step(6);
  ASSERT_EQ(answers().size(), 2u);
  EXPECT_EQ(answers()[0].request, 1u);
  EXPECT_EQ(answers()[0].term, 7u);
  EXPECT_EQ(answers()[0].event->tokens, std::vector<int32_t>{4});
  EXPECT_EQ(answers()[1].event->tokens, std::vector<int32_t>{6});
  EXPECT_EQ(answers()[1].event->first_position, 1u);
  EXPECT_EQ(answers()[1].event->finish, finish_reason::length);
  EXPECT_EQ(num_steps(), 2u) << "nothing is left to do";
  EXPECT_EQ(count(counter::generated_tokens), 2u);
}

TEST_F(Scheduler, CountsTheRequestsWhoseLogitsAreNoNumbers) {
  request(1, {1});
  end_step(kernels::no_token);
  ASSERT_EQ(answers().size(), 1u);
  EXPECT_EQ(answers()[0].event->finish, finish_reason::failed);
  EXPECT_EQ(answers()[0].event->cause->code, errc::step_failed);
  EXPECT_EQ(count(counter::requests_without_choice), 1u);
  request(2, {2}, 1);
  end_step(4);
  ASSERT_EQ(answers().size(), 2u);
  EXPECT_EQ(answers()[1].event->finish, finish_reason::length);
  EXPECT_EQ(count(counter::requests_without_choice), 1u);
}

TEST_F(Scheduler, EndsTheRequestsOfAFailedStepAndGoesOn) {
  request(1, {1});
  request(2, {2});
  say(scheduler_actor_,
      step_ended{0, nullptr, failure{errc::peer_lost, "node c was lost"}});
  ASSERT_EQ(answers().size(), 1u);
  EXPECT_EQ(answers()[0].request, 1u);
  EXPECT_EQ(answers()[0].event->cause->message, "node c was lost");
  ASSERT_EQ(num_steps(), 2u);
  EXPECT_EQ(last_step()->rows.sequences[0].tokens, std::vector<int32_t>{2});
}

TEST_F(Scheduler, BeginsAnAbandonedStepAgainAndSaysNothing) {
  request(1, {1});
  say(
    scheduler_actor_,
    step_ended{0, nullptr, failure{errc::peer_lost, "node c was lost"}, true});
  EXPECT_TRUE(answers().empty());
  ASSERT_EQ(num_steps(), 2u);
  EXPECT_EQ(last_step()->rows.sequences[0].tokens, std::vector<int32_t>{1});
  EXPECT_EQ(count(counter::steps_again), 1u);
}

TEST_F(Scheduler, FreesACancelledRequestWithinAStep) {
  request(1, {1});
  EXPECT_EQ(count(counter::kv_blocks_free), 3u);
  say(scheduler_actor_, cancel_request{1, 5, 6});
  EXPECT_TRUE(answers().empty()) << "another term is not meant";
  say(scheduler_actor_, cancel_request{1, 5, 7});
  say(scheduler_actor_, cancel_request{99, 5, 7});
  ASSERT_EQ(answers().size(), 1u);
  EXPECT_EQ(answers()[0].event->cause->code, errc::cancelled);
  end_step(4);
  EXPECT_EQ(num_steps(), 1u);
  EXPECT_EQ(answers().size(), 1u);
  EXPECT_EQ(count(counter::kv_blocks_free), 4u);
  EXPECT_EQ(count(counter::running), 0u);
}

TEST_F(Scheduler, GoesOnWhereAnAnswerHasCome) {
  auto what = std::make_shared<generation_request>();
  what->prompt = {1, 2};
  what->max_tokens = 4;
  what->ignore_eos = true;
  what->sampling.temperature = 0;
  say(scheduler_actor_, run_request{1, 9, 0, 5, what, {3, 4}});
  ASSERT_EQ(num_steps(), 1u);
  EXPECT_EQ(last_step()->rows.sequences[0].tokens,
            (std::vector<int32_t>{1, 2, 3, 4}));
  end_step(4);
  end_step(6);
  ASSERT_EQ(answers().size(), 2u);
  EXPECT_EQ(answers()[0].event->first_position, 2u);
  EXPECT_EQ(answers()[1].event->first_position, 3u);
  EXPECT_EQ(answers()[1].event->finish, finish_reason::length)
    << "what was asked for counts what was answered";
}

TEST_F(Scheduler, RefusesWhatIsNotForItOrAnsweredAlready) {
  auto what = std::make_shared<generation_request>();
  what->prompt = {1, 2};
  what->max_tokens = 2;
  say(scheduler_actor_, run_request{1, 7, 3, 5, what, {}});
  say(scheduler_actor_, run_request{2, 7, 0, 5, what, {3, 4}});
  say(scheduler_actor_, run_request{3, 7, 0, 5, what, {-1}});
  EXPECT_EQ(num_steps(), 0u);
  ASSERT_EQ(answers().size(), 3u);
  EXPECT_EQ(answers()[0].event->cause->message,
            "the rank does not belong to unit 3");
  EXPECT_EQ(answers()[1].event->cause->message,
            "2 tokens are answered already and 2 were asked for");
  EXPECT_EQ(answers()[1].event->first_position, 2u);
  EXPECT_EQ(answers()[2].event->cause->code, errc::invalid_input);
}

TEST_F(Scheduler, RefusesWhatDoesNotFitAndLivesOn) {
  request(1, {1, int32_t(vocab_size)});
  request(2, {-1});
  request(3, std::vector<int32_t>(61), 4);
  request(4, {});
  EXPECT_EQ(num_steps(), 0u);
  ASSERT_EQ(answers().size(), 4u);
  for (auto& answer : answers()) {
    EXPECT_EQ(answer.term, 7u);
    EXPECT_EQ(answer.event->finish, finish_reason::failed);
    EXPECT_TRUE(answer.event->tokens.empty());
  }
  EXPECT_EQ(answers()[0].event->cause->code, errc::invalid_input);
  EXPECT_EQ(answers()[1].event->cause->code, errc::invalid_input);
  EXPECT_EQ(answers()[2].event->cause->code, errc::context_too_long);
  EXPECT_EQ(answers()[3].event->cause->code, errc::invalid_input);
  request(5, std::vector<int32_t>(60), 4);
  EXPECT_EQ(num_steps(), 1u);
}

TEST_F(Scheduler, RefusesAGrammarThatIsNoneOrNeedsTextsOfTokens) {
  auto ask = [this](grammar_source grammar) {
    auto what = std::make_shared<generation_request>();
    what->prompt = {1};
    what->max_tokens = 4;
    what->grammar = std::move(grammar);
    say(scheduler_actor_, run_request{1, 7, 0, 5, what, {}});
    auto cause = answers().back().event->cause;
    return cause ? cause->message : "";
  };
  EXPECT_EQ(ask({grammar_kind::regex, "a"}),
            "the model has no tokenizer.json, which a grammar needs");
  auto words
    = tokenizer::load(source_dir() / "examples/nano/model/tokenizer.json");
  ASSERT_TRUE(words);
  parts_->tokens.grammars = std::make_shared<grammar_cache>(
    std::make_shared<const vocabulary>(*words, vocab_size));
  EXPECT_EQ(ask({grammar_kind::regex, "("}), "the grammar: a ')' is missing");
  EXPECT_EQ(ask({grammar_kind{77}, "a"}),
            "the grammar: there is no such kind of grammar");
  EXPECT_TRUE(steps_->of<run_step>().empty());
}

TEST_F(Scheduler, WaitsForGrammarsAndMasksThatAreMadeBesideIt) {
  auto words
    = tokenizer::load(source_dir() / "examples/nano/model/tokenizer.json");
  ASSERT_TRUE(words);
  std::vector<std::function<void()>> jobs;
  auto take = [&](uint64_t, auto job) {
    jobs.push_back(std::move(job));
    return true;
  };
  parts_->tokens.grammars = std::make_shared<grammar_cache>(
    std::make_shared<const vocabulary>(*words, words->vocab_size()));
  parts_->tokens.grammars->work_beside(take, take);
  auto ask = [this](request_id id, const char* regex) {
    auto what = std::make_shared<generation_request>();
    what->prompt = {1};
    what->max_tokens = 4;
    what->grammar = {grammar_kind::regex, regex};
    say(scheduler_actor_, run_request{id, 7, 0, 5, what, {}});
  };
  auto do_one = [&] {
    ASSERT_FALSE(jobs.empty());
    std::exchange(jobs.front(), {})();
    jobs.erase(jobs.begin());
    scheduler_.run();
  };
  ask(1, "a+");
  ask(2, "(");
  ask(3, "b+");
  EXPECT_EQ(count(counter::waiting), 3u);
  EXPECT_TRUE(answers().empty());
  say(scheduler_actor_, cancel_request{3, 5, 7});
  ASSERT_EQ(answers().size(), 1u);
  EXPECT_EQ(answers()[0].event->cause->code, errc::cancelled);
  do_one();
  EXPECT_EQ(num_steps(), 0u) << "it has no mask";
  do_one();
  ASSERT_EQ(answers().size(), 2u);
  EXPECT_EQ(answers()[1].event->cause->message,
            "the grammar: a ')' is missing");
  do_one(); // nobody waits for it: it is not compiled
  EXPECT_EQ(num_steps(), 0u);
  request(4, {2});
  EXPECT_EQ(num_steps(), 1u) << "others go on";
  do_one(); // the mask
  end_step(4);
  ASSERT_EQ(num_steps(), 2u);
  EXPECT_EQ(last_step()->rows.sequences.size(), 2u);
  EXPECT_EQ(count(counter::waiting), 0u);
  EXPECT_EQ(count(counter::grammars_compiled), 2u);
  EXPECT_EQ(count(counter::grammar_bytes),
            parts_->tokens.grammars->counted().bytes);
}

TEST(GrammarBell, RingsOnceUntilItIsHeard) {
  int calls = 0;
  grammar_bell bell{[&] { ++calls; }};
  for (int i = 0; i < 3; ++i)
    bell.ring();
  EXPECT_EQ(calls, 1);
  bell.hear();
  EXPECT_EQ(calls, 1);
  bell.ring();
  EXPECT_EQ(calls, 2);
}

TEST_F(Scheduler, CountsWhoRunsAndWhoWaits) {
  request(1, {1});
  request(2, {2});
  EXPECT_EQ(count(counter::running), 1u);
  EXPECT_EQ(count(counter::waiting), 1u);
  end_step(4);
  EXPECT_EQ(count(counter::running), 2u);
  EXPECT_EQ(count(counter::waiting), 0u);
}

TEST_F(Scheduler, LetsGoOfWhatAnotherRankGoesOnWith) {
  auto what = std::make_shared<generation_request>();
  what->prompt = {1, 2};
  what->max_tokens = 4;
  say(scheduler_actor_, run_request{1, 7, 0, 5, what, {}, rank_id{6}});
  end_step(4);
  ASSERT_EQ(answers().size(), 1u) << "and no end";
  EXPECT_EQ(answers()[0].event->tokens, std::vector<int32_t>{4});
  EXPECT_EQ(answers()[0].event->finish, finish_reason::none);
  EXPECT_EQ(num_steps(), 1u);
  EXPECT_EQ(rank_.cache->num_available(), 4u);
  // It may come back, to stay.
  say(scheduler_actor_, run_request{1, 9, 0, 5, what, {4}});
  end_step(4);
  end_step(4);
  EXPECT_EQ(answers().size(), 3u);
}
