#include "runtime/batching/batcher.hpp"

#include "tests/unit/runtime/token_model.hpp"

#include <gtest/gtest.h>

#include <cmath>

using namespace troupe;

namespace {

class Batcher : public testing::Test {
protected:
  void make(uint32_t max_num_seqs, uint32_t max_rows, uint32_t max_model_len,
            uint32_t num_blocks) {
    pool_ = make_token_pool(*device_, num_blocks);
    batcher_options options;
    options.max_num_seqs = max_num_seqs;
    options.max_num_batched_tokens = max_rows;
    options.max_model_len = max_model_len;
    options.vocab_size = token_model::vocab_size;
    options.num_choices = token_model::num_choices;
    options.eos_token_ids = {token_model::eos};
    batcher_ = std::make_unique<batcher>(options, *pool_);
  }

  static generation_request request(uint32_t num_prompt, uint32_t max_tokens) {
    generation_request out;
    for (uint32_t i = 0; i < num_prompt; ++i)
      out.prompt.push_back(int32_t(i % 11));
    out.max_tokens = max_tokens;
    out.ignore_eos = true;
    out.sampling.temperature = 0;
    return out;
  }

  std::vector<batch_output> step() {
    auto rows = batcher_->next_step();
    return batcher_->end_step(model_.run(rows));
  }

  static std::vector<uint32_t> sizes(const batch& step) {
    std::vector<uint32_t> out;
    for (auto& x : step.sequences)
      out.push_back(uint32_t(x.tokens.size()));
    return out;
  }

  std::unique_ptr<kernels::device> device_ = kernels::make_reference_device(0);
  std::unique_ptr<kv_pool> pool_;
  std::unique_ptr<batcher> batcher_;
  token_model model_;
};

using numbers = std::vector<uint32_t>;

} // namespace

TEST_F(Batcher, HasNothingToDoWithoutRequests) {
  make(4, 8, 64, 4);
  EXPECT_EQ(batcher_->next_step().num_rows(), 0u);
  EXPECT_FALSE(batcher_->step_is_out());
}

TEST_F(Batcher, PrefillsALongPromptInChunksAndSamplesAtItsEnd) {
  make(4, 4, 64, 4);
  batcher_->add(7, 3, request(10, 2));
  for (uint32_t first : {0u, 4u}) {
    auto rows = batcher_->next_step();
    EXPECT_EQ(sizes(rows), numbers{4});
    EXPECT_EQ(rows.sequences[0].first_position, first);
    EXPECT_FALSE(rows.sequences[0].want_logits);
    EXPECT_TRUE(batcher_->end_step(model_.run(rows)).empty());
  }
  auto rows = batcher_->next_step();
  EXPECT_EQ(sizes(rows), numbers{2});
  EXPECT_TRUE(rows.sequences[0].want_logits);
  auto out = batcher_->end_step(model_.run(rows));
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
  EXPECT_EQ(sizes(batcher_->next_step()), (numbers{2, 2}));
  batcher_->end_step(std::vector<float>(token_model::vocab_size));
  EXPECT_EQ(sizes(batcher_->next_step()), (numbers{1, 3}));
}

TEST_F(Batcher, RunsNoMoreSequencesThanItMay) {
  make(2, 8, 64, 8);
  for (request_id id = 1; id <= 3; ++id)
    batcher_->add(id, 1, request(1, 5));
  EXPECT_EQ(sizes(batcher_->next_step()), (numbers{1, 1}));
  EXPECT_EQ(batcher_->num_running(), 2u);
  EXPECT_EQ(batcher_->num_waiting(), 1u);
}

TEST_F(Batcher, LetsNobodyPassTheOneWhoWaitsForBlocks) {
  make(4, 512, 192, 3);
  batcher_->add(1, 1, request(100, 50));
  batcher_->add(2, 1, request(100, 50));
  batcher_->add(3, 1, request(1, 1)); // one block would do, and one is free
  EXPECT_EQ(sizes(batcher_->next_step()), numbers{100});
  EXPECT_EQ(batcher_->num_waiting(), 2u);
}

TEST_F(Batcher, TakesTheBlocksOfTheYoungestWhenNoneIsFree) {
  make(4, 512, 128, 2);
  batcher_->add(1, 1, request(64, 3));
  batcher_->add(2, 1, request(64, 3));
  EXPECT_EQ(step().size(), 2u);
  EXPECT_EQ(pool_->num_free(), 0u);
  auto rows = batcher_->next_step();
  ASSERT_EQ(sizes(rows), numbers{1});
  EXPECT_EQ(rows.sequences[0].blocks->size(), 2u);
  EXPECT_EQ(batcher_->num_waiting(), 1u);
  batcher_->end_step(model_.run(rows));
  EXPECT_EQ(step().at(0).event.finish, finish_reason::length);
  // The other one's prompt and first token are computed again, as one run.
  EXPECT_EQ(sizes(batcher_->next_step()), numbers{65});
}

TEST_F(Batcher, PutsWhoHasLostItsBlocksFirstInLine) {
  make(4, 512, 128, 2);
  batcher_->add(1, 1, request(64, 2));
  batcher_->add(2, 1, request(64, 3));
  batcher_->add(3, 1, request(64, 3));
  step();
  EXPECT_EQ(step().at(0).event.finish, finish_reason::length);
  EXPECT_EQ(batcher_->num_waiting(), 2u);
  EXPECT_EQ(sizes(batcher_->next_step()), numbers{65});
}

TEST_F(Batcher, GivesNoBlocksInTheStepThatTookThem) {
  make(4, 64, 192, 3);
  batcher_->add(1, 1, request(64, 9));
  step();
  batcher_->add(2, 1, request(63, 9)); // beside one row of the first
  ASSERT_EQ(step().size(), 2u);
  ASSERT_EQ(step().size(), 2u);
  EXPECT_EQ(pool_->num_free(), 0u);
  // The second needs one more and gives up its only one.
  EXPECT_EQ(sizes(batcher_->next_step()), numbers{1});
  EXPECT_EQ(pool_->num_free(), 1u);
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
  EXPECT_EQ(batcher_->next_step().num_rows(), 0u);
}

TEST_F(Batcher, EndsAtTheEndTokenWhichIsNoPartOfTheAnswer) {
  make(4, 8, 64, 4);
  auto stops = request(1, 2);
  stops.ignore_eos = false;
  batcher_->add(1, 1, stops);
  batcher_->add(2, 1, request(1, 2));
  std::vector<float> logits(2 * token_model::vocab_size);
  logits[token_model::eos] = logits[token_model::vocab_size + token_model::eos]
    = 1;
  batcher_->next_step();
  auto out = batcher_->end_step(logits);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].event.finish, finish_reason::stop);
  EXPECT_TRUE(out[0].event.tokens.empty());
  EXPECT_EQ(out[1].event.finish, finish_reason::none);
  EXPECT_EQ(out[1].event.tokens, std::vector<int32_t>{token_model::eos});
}

TEST_F(Batcher, GivesLogitsToThoseWhoAsk) {
  make(4, 8, 64, 4);
  auto curious = request(3, 2);
  curious.want_logits = true;
  batcher_->add(1, 1, request(2, 2));
  batcher_->add(2, 1, curious);
  auto logits = model_.run(batcher_->next_step());
  auto out = batcher_->end_step(logits);
  EXPECT_TRUE(out.at(0).event.logits.empty());
  EXPECT_EQ(
    out.at(1).event.logits,
    std::vector<float>(logits.begin() + token_model::vocab_size, logits.end()));
}

TEST_F(Batcher, TellsWhatFits) {
  make(4, 8, 64, 4);
  EXPECT_TRUE(batcher_->fits(request(1, 63)));
  EXPECT_FALSE(batcher_->fits(request(1, 64)));
  EXPECT_FALSE(batcher_->fits(request(1, UINT32_MAX)));
  EXPECT_FALSE(batcher_->fits(request(0, 1)));
  EXPECT_FALSE(batcher_->fits(request(1, 0)));
  for (int32_t token : {-1, int32_t(token_model::vocab_size)}) {
    auto foreign = request(3, 1);
    foreign.prompt[2] = token;
    EXPECT_FALSE(batcher_->fits(foreign)) << token;
  }
}

// -- cancel -------------------------------------------------------------------

TEST_F(Batcher, CancelsWhoWaits) {
  make(1, 8, 64, 4);
  batcher_->add(1, 1, request(1, 9));
  batcher_->add(2, 5, request(1, 9));
  auto last = batcher_->cancel(2);
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->request, 2u);
  EXPECT_EQ(last->term, 5u);
  EXPECT_EQ(last->event.finish, finish_reason::failed);
  ASSERT_TRUE(last->event.cause.has_value());
  EXPECT_EQ(last->event.cause->code, errc::cancelled);
  EXPECT_EQ(batcher_->num_waiting(), 1u);
  EXPECT_FALSE(batcher_->cancel(2).has_value());
}

TEST_F(Batcher, CancelsBetweenStepsAndFreesTheBlocksAtOnce) {
  make(4, 8, 64, 4);
  batcher_->add(1, 1, request(1, 9));
  step();
  EXPECT_EQ(pool_->num_free(), 3u);
  EXPECT_EQ(batcher_->cancel(1)->event.first_position, 1u);
  EXPECT_EQ(pool_->num_free(), 4u);
  EXPECT_EQ(batcher_->next_step().num_rows(), 0u);
}

TEST_F(Batcher, CancelsInAStepAndFreesTheBlocksWhenItEnds) {
  make(4, 8, 64, 4);
  batcher_->add(1, 1, request(1, 9));
  batcher_->add(2, 1, request(1, 9));
  auto logits = model_.run(batcher_->next_step());
  EXPECT_TRUE(batcher_->cancel(1).has_value());
  EXPECT_FALSE(batcher_->cancel(1).has_value()) << "heard of twice";
  EXPECT_EQ(pool_->num_free(), 2u) << "the step still writes there";
  auto out = batcher_->end_step(logits);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].request, 2u);
  EXPECT_EQ(pool_->num_free(), 3u);
}

TEST_F(Batcher, CancelsWhoHasLostItsBlocks) {
  make(4, 512, 128, 2);
  batcher_->add(1, 1, request(64, 5));
  batcher_->add(2, 1, request(64, 5));
  step();
  step();
  ASSERT_EQ(batcher_->num_waiting(), 1u);
  EXPECT_EQ(batcher_->cancel(2)->event.first_position, 1u);
  EXPECT_EQ(batcher_->num_waiting(), 0u);
}

TEST_F(Batcher, KnowsNoStrangerToCancel) {
  make(4, 8, 64, 4);
  EXPECT_FALSE(batcher_->cancel(1).has_value());
  batcher_->add(1, 1, request(1, 1));
  step();
  EXPECT_FALSE(batcher_->cancel(1).has_value()) << "it has ended already";
}

// -- failure ------------------------------------------------------------------

TEST_F(Batcher, AFailedStepEndsThoseInItAndNobodyElse) {
  make(2, 8, 64, 4);
  for (request_id id = 1; id <= 3; ++id)
    batcher_->add(id, 1, request(1, 9));
  batcher_->next_step();
  batcher_->cancel(2);
  auto out = batcher_->fail_step({errc::peer_lost, "node b is gone"});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].request, 1u);
  EXPECT_EQ(out[0].event.finish, finish_reason::failed);
  EXPECT_EQ(out[0].event.cause->message, "node b is gone");
  EXPECT_EQ(pool_->num_free(), 4u);
  EXPECT_EQ(step().at(0).request, 3u);
}

TEST_F(Batcher, EndsOneWhoseLogitsAreNoNumbersAndNobodyElse) {
  make(4, 16, 64, 8);
  for (request_id id : {1, 2, 3})
    batcher_->add(id, 0, request(4, 3));
  auto logits = model_.run(batcher_->next_step());
  ASSERT_EQ(logits.size(), 3u * token_model::vocab_size);
  logits[token_model::vocab_size + 2] = NAN;
  auto outputs = batcher_->end_step(logits);
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
  batcher_->next_step();
  batcher_.reset();
  EXPECT_EQ(pool_->num_free(), 4u);
}

TEST_F(Batcher, ComputesALongPromptInMultiHeadFormAndItsAnswerAbsorbed) {
  make(4, 512, 256, 4);
  batcher_->add(1, 1, request(min_multi_head_prompt, 2));
  auto rows = batcher_->next_step();
  EXPECT_EQ(rows.sequences[0].form, attention_form::multi_head);
  batcher_->end_step(model_.run(rows));
  rows = batcher_->next_step();
  EXPECT_EQ(rows.sequences[0].form, attention_form::absorbed);
  batcher_->end_step(model_.run(rows));
  batcher_->add(2, 1, request(min_multi_head_prompt - 1, 2));
  rows = batcher_->next_step();
  EXPECT_EQ(rows.sequences[0].form, attention_form::absorbed);
  batcher_->end_step(model_.run(rows));
}

TEST_F(Batcher, ComputesWhatWasPushedOutAgainInItsFirstForms) {
  // The second request gives its blocks back when the first wants a second
  // one, after four tokens of its answer.
  make(4, 512, 256, 4);
  batcher_->add(1, 1, request(60, 10));
  batcher_->add(2, 1, request(130, 20));
  while (batcher_->num_waiting() > 0 || batcher_->num_running() < 2)
    step();
  while (batcher_->num_waiting() == 0)
    step();
  while (batcher_->num_running() > 0 && batcher_->num_waiting() > 0)
    step();
  auto rows = batcher_->next_step();
  ASSERT_EQ(sizes(rows), numbers{130});
  EXPECT_EQ(rows.sequences[0].form, attention_form::multi_head);
  EXPECT_FALSE(rows.sequences[0].want_logits);
  EXPECT_TRUE(batcher_->end_step(model_.run(rows)).empty());
  rows = batcher_->next_step();
  ASSERT_EQ(rows.sequences.size(), 1u);
  EXPECT_EQ(rows.sequences[0].first_position, 130u);
  EXPECT_GT(rows.sequences[0].tokens.size(), 1u);
  EXPECT_EQ(rows.sequences[0].form, attention_form::absorbed);
  EXPECT_TRUE(rows.sequences[0].want_logits);
  EXPECT_EQ(batcher_->end_step(model_.run(rows)).size(), 1u);
}
