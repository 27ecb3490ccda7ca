#include "runtime/batching/batcher.hpp"

#include "tests/unit/runtime/batcher_fixture.hpp"
#include "tests/unit/runtime/grammar_texts.hpp"

using namespace troupe;

namespace {

using numbers = std::vector<uint32_t>;

class Batcher : public batcher_fixture {};

} // namespace

TEST_F(Batcher, HasNothingToDoWithoutRequests) {
  make(4, 8, 64, 4);
  EXPECT_EQ(next_step_of(*batcher_).num_rows(), 0u);
  EXPECT_EQ(batcher_->num_out(), 0u);
}

TEST_F(Batcher, PrefillsALongPromptInChunksAndSamplesAtItsEnd) {
  make(4, 4, 64, 4);
  batcher_->add(7, 3, request(10, 2));
  for (uint32_t first : {0u, 4u}) {
    auto rows = next_step_of(*batcher_);
    EXPECT_EQ(sizes(rows), numbers{4});
    EXPECT_EQ(rows.sequences[0].first_position, first);
    EXPECT_FALSE(rows.sequences[0].draw);
    EXPECT_TRUE(batcher_->end_step(0, model_.run(rows)).empty());
  }
  auto rows = next_step_of(*batcher_);
  EXPECT_EQ(sizes(rows), numbers{2});
  ASSERT_TRUE(rows.sequences[0].draw);
  EXPECT_EQ(rows.sequences[0].draw->num_choices, token_model::num_choices);
  EXPECT_FALSE(rows.sequences[0].want_logits);
  auto out = batcher_->end_step(0, model_.run(rows));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].request, 7u);
  EXPECT_EQ(out[0].term, 3u);
  EXPECT_EQ(out[0].event.first_position, 0u);
  EXPECT_EQ(out[0].event.tokens.size(), 1u);
  EXPECT_EQ(out[0].event.finish, finish_reason::none);
}

TEST_F(Batcher, DecodesEverybodyBeforeItPrefills) {
  make(4, 4, 64, 4);
  batcher_->add(1, 1, request(2, 9));
  batcher_->add(2, 1, request(9, 9));
  auto rows = next_step_of(*batcher_);
  EXPECT_EQ(sizes(rows), (numbers{2, 2}));
  end(rows);
  EXPECT_EQ(sizes(next_step_of(*batcher_)), (numbers{1, 3}));
}

TEST_F(Batcher, RunsNoMoreSequencesThanItMay) {
  make(2, 8, 64, 8);
  for (request_id id = 1; id <= 3; ++id)
    batcher_->add(id, 1, request(1, 5));
  EXPECT_EQ(sizes(next_step_of(*batcher_)), (numbers{1, 1}));
  EXPECT_EQ(batcher_->num_running(), 2u);
  EXPECT_EQ(batcher_->num_waiting(), 1u);
}

TEST_F(Batcher, EndsAnAnswerThatIsLongEnough) {
  make(4, 8, 64, 4);
  batcher_->add(1, 1, request(1, 2));
  EXPECT_EQ(step().at(0).event.finish, finish_reason::none);
  auto last = step().at(0);
  EXPECT_EQ(last.event.finish, finish_reason::length);
  EXPECT_EQ(last.event.first_position, 1u);
  EXPECT_EQ(last.event.tokens.size(), 1u);
  EXPECT_EQ(pool_->num_free(), 4u);
  EXPECT_EQ(next_step_of(*batcher_).num_rows(), 0u);
}

TEST_F(Batcher, EndsAtTheEndTokenWhichIsNoPartOfTheAnswer) {
  make(4, 8, 64, 4);
  auto stops = request(1, 2);
  stops->ignore_eos = false;
  batcher_->add(1, 1, stops);
  batcher_->add(2, 1, request(1, 2));
  next_step_of(*batcher_);
  auto out = batcher_->end_step(0, {{token_model::eos, token_model::eos}, {}});
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].event.finish, finish_reason::stop);
  EXPECT_TRUE(out[0].event.tokens.empty());
  EXPECT_EQ(out[1].event.finish, finish_reason::none);
  EXPECT_EQ(out[1].event.tokens, std::vector<int32_t>{token_model::eos});
}

TEST_F(Batcher, GivesLogitsToThoseWhoAsk) {
  make(4, 8, 64, 4);
  auto curious = request(3, 2);
  curious->want_logits = true;
  batcher_->add(1, 1, request(2, 2));
  batcher_->add(2, 1, curious);
  auto rows = next_step_of(*batcher_);
  EXPECT_FALSE(rows.sequences[0].want_logits);
  EXPECT_TRUE(rows.sequences[1].want_logits);
  auto result = model_.run(rows);
  ASSERT_EQ(result.logits.size(), 1u);
  auto where = result.logits[0].data();
  auto out = batcher_->end_step(0, std::move(result));
  EXPECT_TRUE(out.at(0).event.logits.empty());
  EXPECT_EQ(out.at(1).event.logits, token_model::logits_after(curious->prompt));
  EXPECT_EQ(out.at(1).event.logits.data(), where) << "they were copied";
}

// -- cancel -------------------------------------------------------------------

TEST_F(Batcher, CancelsWhoWaits) {
  make(1, 8, 64, 4);
  batcher_->add(1, 1, request(1, 9));
  batcher_->add(2, 5, request(1, 9));
  EXPECT_FALSE(batcher_->cancel(2, 4)) << "another term";
  auto last = batcher_->cancel(2, 5);
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->request, 2u);
  EXPECT_EQ(last->term, 5u);
  EXPECT_EQ(last->event.finish, finish_reason::failed);
  ASSERT_TRUE(last->event.cause.has_value());
  EXPECT_EQ(last->event.cause->code, errc::cancelled);
  EXPECT_EQ(batcher_->num_waiting(), 1u);
  EXPECT_FALSE(batcher_->cancel(2, 5).has_value());
}

TEST_F(Batcher, CancelsBetweenStepsAndFreesTheBlocksAtOnce) {
  make(4, 8, 64, 4);
  batcher_->add(1, 1, request(1, 9));
  step();
  EXPECT_EQ(pool_->num_free(), 3u);
  EXPECT_EQ(batcher_->cancel(1, 1)->event.first_position, 1u);
  EXPECT_EQ(pool_->num_free(), 4u);
  EXPECT_EQ(next_step_of(*batcher_).num_rows(), 0u);
}

TEST_F(Batcher, CancelsInAStepAndFreesTheBlocksWhenItEnds) {
  make(4, 8, 64, 4);
  batcher_->add(1, 1, request(1, 9));
  batcher_->add(2, 1, request(1, 9));
  auto result = model_.run(next_step_of(*batcher_));
  EXPECT_TRUE(batcher_->cancel(1, 1).has_value());
  EXPECT_FALSE(batcher_->cancel(1, 1).has_value()) << "heard of twice";
  EXPECT_EQ(pool_->num_free(), 2u) << "the step still writes there";
  auto out = batcher_->end_step(0, std::move(result));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].request, 2u);
  EXPECT_EQ(pool_->num_free(), 3u);
}

TEST_F(Batcher, KnowsNoStrangerToCancel) {
  make(4, 8, 64, 4);
  EXPECT_FALSE(batcher_->cancel(1, 1).has_value());
  batcher_->add(1, 1, request(1, 1));
  step();
  EXPECT_FALSE(batcher_->cancel(1, 1).has_value()) << "it has ended already";
}

// -- an answer that goes on ---------------------------------------------------

TEST_F(Batcher, GoesOnWithAnAnswerToTheSameTokens) {
  make(4, 8, 64, 4);
  auto what = request(5, 9);
  what->sampling = {.temperature = 1, .seed = 3};
  auto run = [&](std::vector<int32_t> answer) {
    batcher_->add(1, 1, what, answer);
    for (auto first = uint32_t(answer.size());;) {
      auto out = step();
      if (out.empty())
        continue; // its prompt is being computed
      EXPECT_EQ(out[0].event.first_position, first++);
      for (auto token : out[0].event.tokens)
        answer.push_back(token);
      if (out[0].event.finish != finish_reason::none)
        return answer;
    }
  };
  auto whole = run({});
  ASSERT_EQ(whole.size(), 9u);
  for (size_t n = 1; n < whole.size(); ++n)
    EXPECT_EQ(run({whole.begin(), whole.begin() + int(n)}), whole) << n;
}

TEST_F(Batcher, KeepsNoPromptOfItsOwn) {
  make(4, 8, 64, 4);
  auto what = request(20, 3);
  batcher_->add(1, 1, what);
  EXPECT_EQ(what.use_count(), 2) << "it reads the one that it was given";
  for (uint32_t first = 0; first < 20; first += 8) {
    auto rows = next_step_of(*batcher_);
    auto& x = rows.sequences.at(0);
    EXPECT_EQ(x.first_position, first);
    EXPECT_TRUE(std::ranges::equal(
      x.tokens, std::span{what->prompt}.subspan(first, x.tokens.size())));
    batcher_->end_step(0, model_.run(rows));
  }
  batcher_->cancel(1, 1);
  EXPECT_EQ(what.use_count(), 1) << "it has let go of it";
}

// -- failure ------------------------------------------------------------------

TEST_F(Batcher, AFailedStepEndsThoseInItAndNobodyElse) {
  make(2, 8, 64, 4);
  for (request_id id = 1; id <= 3; ++id)
    batcher_->add(id, 1, request(1, 9));
  next_step_of(*batcher_);
  batcher_->cancel(2, 1);
  auto out = batcher_->fail_step(0, {errc::peer_lost, "node b is gone"});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].request, 1u);
  EXPECT_EQ(out[0].event.finish, finish_reason::failed);
  EXPECT_EQ(out[0].event.cause->message, "node b is gone");
  EXPECT_EQ(pool_->num_free(), 4u);
  EXPECT_EQ(step().at(0).request, 3u);
}

TEST_F(Batcher, EndsOneWithoutAChoiceAndNobodyElse) {
  make(4, 16, 64, 8);
  for (request_id id : {1, 2, 3})
    batcher_->add(id, 0, request(4, 3));
  auto result = model_.run(next_step_of(*batcher_));
  ASSERT_EQ(result.tokens.size(), 3u);
  result.tokens[1] = kernels::no_token;
  auto outputs = batcher_->end_step(0, std::move(result));
  ASSERT_EQ(outputs.size(), 3u);
  EXPECT_EQ(outputs[1].request, 2u);
  EXPECT_EQ(outputs[1].event.finish, finish_reason::failed);
  EXPECT_TRUE(outputs[1].event.tokens.empty());
  EXPECT_EQ(outputs[1].event.cause->code, errc::step_failed);
  EXPECT_EQ(outputs[1].event.cause->message,
            "the model computed no finite logits for token 0 of the answer");
  EXPECT_EQ(batcher_->num_without_choice(), 1u);
  EXPECT_EQ(batcher_->num_running(), 2u);
  EXPECT_EQ(pool_->num_free(), 6u);
  for (auto i : {0, 2}) {
    auto answer = outputs[size_t(i)].event.tokens;
    EXPECT_EQ(answer.size(), 1u);
  }
  step();
  for (auto& x : step())
    EXPECT_EQ(x.event.finish, finish_reason::length);
  EXPECT_EQ(pool_->num_free(), 8u);
  EXPECT_EQ(batcher_->num_without_choice(), 1u);
}

TEST_F(Batcher, GivesAllBlocksBackAtItsEnd) {
  make(4, 8, 64, 4);
  batcher_->add(1, 1, request(1, 9));
  batcher_->add(2, 1, request(1, 9));
  next_step_of(*batcher_);
  batcher_.reset();
  EXPECT_EQ(pool_->num_free(), 4u);
}

TEST_F(Batcher, ComputesALongPromptInMultiHeadFormAndItsAnswerAbsorbed) {
  make(4, 512, 256, 4);
  batcher_->add(1, 1, request(min_multi_head_segment, 2));
  auto rows = next_step_of(*batcher_);
  EXPECT_EQ(rows.sequences[0].form, attention_form::multi_head);
  batcher_->end_step(0, model_.run(rows));
  rows = next_step_of(*batcher_);
  EXPECT_EQ(rows.sequences[0].form, attention_form::absorbed);
  batcher_->end_step(0, model_.run(rows));
  batcher_->add(2, 1, request(min_multi_head_segment - 1, 2));
  rows = next_step_of(*batcher_);
  EXPECT_EQ(rows.sequences[0].form, attention_form::absorbed);
  batcher_->end_step(0, model_.run(rows));
}

TEST_F(Batcher, ComputesEverySegmentInTheFormOfItsAuthor) {
  make(4, 512, 1024, 16);
  using enum segment_author;
  auto what = request(620, 2);
  what->segments = {{130, given}, {7, given},   {200, generated},
                    {150, given}, {128, given}, {5, generated}};
  batcher_->add(1, 1, what);
  struct part {
    uint32_t first, count;
    attention_form form;
  };
  for (auto& want : {part{0, 130, attention_form::multi_head},
                     {130, 207, attention_form::absorbed},
                     {337, 278, attention_form::multi_head},
                     {615, 5, attention_form::absorbed}}) {
    auto rows = next_step_of(*batcher_);
    ASSERT_EQ(rows.sequences.size(), 1u);
    auto& x = rows.sequences[0];
    EXPECT_EQ(x.first_position, want.first);
    EXPECT_EQ(x.tokens.size(), want.count);
    EXPECT_EQ(x.form, want.form);
    EXPECT_EQ(x.draw.has_value(), want.first == 615);
    batcher_->end_step(0, model_.run(rows));
  }
}

// -- grammars -----------------------------------------------------------------

TEST_F(Batcher, DrawsNothingBeforeAMaskIsMadeAndHoldsUpNobody) {
  std::vector<std::function<void()>> jobs;
  int calls = 0;
  shape_.when_ready = waker([&] { ++calls; });
  make(4, 8, 64, 8);
  auto grammar = std::make_shared<grammar_masks>(
    compiled({grammar_kind::regex, "[a-z ]+"}), some_vocabulary(),
    grammar_limits{}, [&](uint64_t, auto job) {
      jobs.push_back(std::move(job));
      return true;
    });
  batcher_->add(1, 1, request(3, 4), {}, grammar);
  batcher_->add(2, 1, request(1, 4));
  auto rows = next_step_of(*batcher_);
  EXPECT_EQ(sizes(rows), (numbers{2, 1})) << "all but the last of its prompt";
  EXPECT_FALSE(rows.sequences[0].draw);
  end(rows);
  rows = next_step_of(*batcher_);
  EXPECT_EQ(sizes(rows), (numbers{1})) << "the other one's";
  end(rows);
  ASSERT_EQ(jobs.size(), 1u);
  jobs[0]();
  EXPECT_EQ(calls, 1);
  rows = next_step_of(*batcher_);
  ASSERT_EQ(sizes(rows), (numbers{1, 1}));
  EXPECT_TRUE(rows.sequences[0].draw->allowed);
  EXPECT_FALSE(rows.sequences[1].draw->allowed);
}

TEST_F(Batcher, LooksAtNoMoreGrammarsInAStepThanItMayAndTellsTheRestLater) {
  auto told = [](const std::vector<batch_output>& out) {
    std::vector<std::pair<request_id, finish_reason>> all;
    for (auto& x : out)
      all.emplace_back(x.request, x.event.finish);
    return all;
  };
  using list = std::vector<std::pair<request_id, finish_reason>>;
  constexpr auto none = finish_reason::none;
  int calls = 0;
  shape_.when_ready = waker([&] { ++calls; });
  shape_.max_looking = 0;
  make(4, 8, 64, 8);
  auto grammar = std::make_shared<grammar_masks>(
    compiled({grammar_kind::regex, "aa"}), some_vocabulary());
  for (request_id id : {1, 2, 3})
    batcher_->add(id, 1, request(1, 4), {}, grammar);
  batcher_->add(4, 1, request(1, 4));
  step_result result;
  result.tokens.assign(4, some_tokenizer().encode("a", specials::plain).at(0));
  EXPECT_EQ(sizes(next_step_of(*batcher_)), (numbers{1, 1, 1, 1}));
  auto out = batcher_->end_step(0, result);
  EXPECT_EQ(told(out), (list{{4, none}, {1, none}})) << "one, whatever it took";
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(batcher_->cancel(3, 1)->event.first_position, 0u);
  EXPECT_EQ(sizes(next_step_of(*batcher_)), (numbers{1, 1})) << "others go on";
  result.tokens.resize(2);
  out = batcher_->end_step(0, result);
  EXPECT_EQ(told(out), (list{{4, none}, {2, none}}));
  out = batcher_->look_at_ends();
  EXPECT_EQ(told(out), (list{{1, finish_reason::stop}}));
  EXPECT_EQ(out[0].event.tokens, (std::vector{result.tokens[0]}));
  EXPECT_EQ(out[0].event.first_position, 1u);
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(batcher_->look_at_ends().empty());
  EXPECT_EQ(batcher_->num_running(), 2u);
}

// Nobody is called who could come again.
TEST_F(Batcher, LooksAtAllGrammarsWhereNobodyIsCalled) {
  shape_.max_looking = 0;
  make(4, 8, 64, 8);
  auto grammar = std::make_shared<grammar_masks>(
    compiled({grammar_kind::regex, "aa"}), some_vocabulary());
  for (request_id id : {1, 2, 3})
    batcher_->add(id, 1, request(1, 4), {}, grammar);
  step_result result;
  result.tokens.assign(3, some_tokenizer().encode("a", specials::plain).at(0));
  next_step_of(*batcher_);
  EXPECT_EQ(batcher_->end_step(0, result).size(), 3u);
}

TEST_F(Batcher, RefusesWhomeverAMaskCostsTooMuch) {
  make(4, 8, 64, 8);
  grammar_limits small;
  small.max_mask_work = 1;
  auto grammar = std::make_shared<grammar_masks>(
    compiled({grammar_kind::json_object, ""}), some_vocabulary(), small);
  batcher_->add(1, 1, request(3, 4), {}, grammar);
  auto rows = next_step_of(*batcher_);
  step_result none;
  none.tokens = {kernels::no_token};
  auto out = batcher_->end_step(0, std::move(none));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].event.finish, finish_reason::failed);
  ASSERT_TRUE(out[0].event.cause);
  EXPECT_EQ(out[0].event.cause->message,
            "the grammar: it takes too many steps to find what may follow 0 "
            "tokens of the answer");
  EXPECT_EQ(batcher_->num_without_choice(), 0u);
}
