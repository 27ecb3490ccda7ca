#include "runtime/cluster/request_mover.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr clock::instant begin{};

/// 10 ms whatever there is, 1 ms for a request, 1 ms for 100 tokens.
part_loads prices_of(rank_id rank) {
  part_loads out;
  auto& x = out.ranks.emplace_back();
  x.rank = rank;
  x.step_ps = 10'000'000'000;
  x.request_ps = 1'000'000'000;
  x.kv_token_ps = 10'000'000;
  return out;
}

/// Moves what it is told to.
struct given_policy : balance::request_policy {
  std::vector<balance::request_move>
  plan(std::span<const balance::decode_rank>,
       std::span<const balance::decode_request>) override {
    return moves;
  }

  std::vector<balance::request_move> moves;
};

class RequestMover : public testing::Test {
protected:
  RequestMover() {
    cluster_.limits.max_num_seqs = 8;
    cluster_.limits.micro_batches = 1;
    cluster_.limits.num_kv_blocks = 64;
    settings_.interval = 1s;
    settings_.least_left = 4;
    make();
  }

  void make() {
    mover_ = std::make_unique<request_mover>(settings_, cluster_);
  }

  static std::shared_ptr<generation_request> prompt(uint32_t num_tokens) {
    auto out = std::make_shared<generation_request>();
    out->prompt.resize(num_tokens);
    out->max_tokens = 100;
    return out;
  }

  /// Its prompt has been computed.
  void run(request_id id, uint32_t num_tokens, rank_id rank,
           uint32_t num_answered = 1) {
    journal_.accept(id, prompt(num_tokens), {rank});
    answer(id, 0, num_answered);
  }

  void answer(request_id id, uint32_t first, uint32_t count,
              uint32_t term = 1) {
    generation_event x;
    x.first_position = first;
    x.tokens.resize(count);
    EXPECT_EQ(journal_.commit(id, term, x),
              request_journal::verdict::committed);
  }

  std::vector<request_mover::order> plan(clock::instant now = begin) {
    return mover_->plan(journal_, usable_, now);
  }

  std::optional<rank_id> due(request_id id) {
    return mover_->due(id, journal_, usable_);
  }

  topology cluster_ = single_process(3, 1);
  request_settings settings_;
  request_journal journal_{3};
  std::vector<rank_id> usable_{0, 1, 2};
  std::unique_ptr<request_mover> mover_;
};

} // namespace

TEST_F(RequestMover, GivesARequestToWhoseStepsAreShortest) {
  run(1, 1000, 0); // 11 ms more
  run(2, 100, 1);
  run(3, 100, 1); // 4 ms
  run(4, 300, 2); // 4 ms and a token
  EXPECT_EQ(mover_->best_of({0, 1, 2}, journal_, 10),
            (std::vector<rank_id>{0, 1, 2}))
    << "nobody has told what steps take";
  mover_->hear(prices_of(0));
  EXPECT_EQ(mover_->best_of({0, 1, 2}, journal_, 10), std::vector<rank_id>{2});
  EXPECT_EQ(mover_->best_of({0, 1}, journal_, 10), std::vector<rank_id>{1});
  EXPECT_EQ(mover_->best_of({0, 1}, journal_, 1 << 20),
            (std::vector<rank_id>{0, 1}))
    << "nobody has room";
}

TEST_F(RequestMover, MovesOnceTheBlocksAreThereAndATokenHasCome) {
  for (request_id id = 1; id <= 4; ++id)
    run(id, 100, 0);
  EXPECT_TRUE(plan().empty()) << "nobody has told what steps take";
  mover_->hear(prices_of(0));
  auto orders = plan();
  ASSERT_EQ(orders.size(), 2u); // one request and one each are left
  auto& x = orders[0];
  EXPECT_EQ(x.from, 0);
  EXPECT_NE(x.to, 0);
  EXPECT_EQ(x.term, 1u);
  EXPECT_TRUE(plan().empty()) << "these come first";
  EXPECT_EQ(due(x.request), std::nullopt);
  mover_->copied(x.request, 2, x.to, true);
  mover_->copied(x.request, 1, 0, true);
  EXPECT_EQ(due(x.request), std::nullopt) << "another one was meant";
  mover_->copied(x.request, 1, x.to, true);
  EXPECT_EQ(due(x.request), x.to);
  EXPECT_EQ(due(x.request), std::nullopt) << "once";
  auto& status = mover_->status();
  EXPECT_EQ(status.moves, 1u);
  EXPECT_EQ(status.plans, 1u);
  ASSERT_EQ(status.recent.size(), 1u);
  EXPECT_EQ(status.recent[0].reason,
            "moved request " + std::to_string(x.request) + " from 0 to "
              + std::to_string(x.to) + ": predicted step 18 -> 16 ms");
  EXPECT_NEAR(status.recent[0].gain, 2.01 / 18.04, 0.01);
}

TEST_F(RequestMover, WhoHasMovedOrCouldNotStaysForAWhile) {
  run(1, 100, 0);
  run(2, 100, 0);
  mover_->hear(prices_of(0));
  auto first = plan();
  ASSERT_EQ(first.size(), 1u);
  mover_->copied(first[0].request, 1, first[0].to, false);
  EXPECT_EQ(mover_->status().refused, 1u);
  auto second = plan(begin + 1s);
  ASSERT_EQ(second.size(), 1u);
  EXPECT_NE(second[0].request, first[0].request);
  mover_->copied(second[0].request, 1, second[0].to, false);
  EXPECT_TRUE(plan(begin + 2s).empty());
  EXPECT_EQ(plan(begin + settings_.rest).size(), 1u);
}

TEST_F(RequestMover, GivesUpWhatTakesTooLongOrHasAnotherOwner) {
  run(1, 100, 0);
  run(2, 100, 0);
  mover_->hear(prices_of(0));
  auto first = plan();
  ASSERT_EQ(first.size(), 1u);
  mover_->copied(first[0].request, 1, first[0].to, true);
  journal_.raise(first[0].request, {0});
  EXPECT_EQ(due(first[0].request), std::nullopt);
  EXPECT_EQ(mover_->status().refused, 1u);
  auto second = plan(begin + 1s);
  ASSERT_EQ(second.size(), 1u);
  plan(begin + 1s + settings_.patience);
  EXPECT_EQ(mover_->status().refused, 2u);
  mover_->copied(second[0].request, 1, second[0].to, true);
  EXPECT_EQ(due(second[0].request), std::nullopt);
}

TEST_F(RequestMover, GoesToNobodyWhoIsGone) {
  run(1, 100, 0);
  run(2, 100, 0);
  mover_->hear(prices_of(0));
  auto orders = plan();
  ASSERT_EQ(orders.size(), 1u);
  mover_->copied(orders[0].request, 1, orders[0].to, true);
  std::erase(usable_, orders[0].to);
  EXPECT_EQ(due(orders[0].request), std::nullopt);
  EXPECT_EQ(mover_->status().refused, 1u);
}

TEST_F(RequestMover, SaysWhatItGivesUpWhileItsOwnerHasIt) {
  for (request_id id = 1; id <= 4; ++id)
    run(id, 100, 0);
  mover_->hear(prices_of(0));
  auto orders = plan();
  ASSERT_EQ(orders.size(), 2u);
  auto &x = orders[0], &y = orders[1];
  mover_->copied(x.request, 1, x.to, true);
  mover_->copied(y.request, 1, y.to, true);
  EXPECT_TRUE(mover_->take_given_up().empty());
  std::erase(usable_, x.to);
  EXPECT_EQ(due(x.request), std::nullopt);
  auto given_up = mover_->take_given_up();
  ASSERT_EQ(given_up.size(), 1u);
  EXPECT_EQ(given_up[0].request, x.request);
  EXPECT_EQ(given_up[0].from, 0);
  EXPECT_EQ(given_up[0].term, 1u);
  journal_.raise(y.request, {0}); // its owner has heard of that
  EXPECT_EQ(due(y.request), std::nullopt);
  EXPECT_TRUE(mover_->take_given_up().empty());
  EXPECT_EQ(mover_->status().refused, 2u);
}

TEST_F(RequestMover, WhatIsStillCopiedCountsUntilItEnds) {
  for (request_id id = 1; id <= 4; ++id)
    run(id, 100, 0);
  mover_->hear(prices_of(0));
  auto orders = plan();
  ASSERT_EQ(orders.size(), 2u);
  auto &x = orders[0], &y = orders[1];
  auto late = begin + settings_.patience;
  mover_->copied(y.request, 1, y.to, true);
  EXPECT_TRUE(plan(late).empty());
  EXPECT_EQ(mover_->take_given_up().size(), 2u);
  EXPECT_EQ(mover_->status().refused, 2u);
  EXPECT_FALSE(mover_->is_copied(y.request));
  EXPECT_TRUE(plan(late + 1s).empty()) << "one is being copied";
  EXPECT_TRUE(mover_->take_given_up().empty()) << "once";
  mover_->copied(x.request, 1, x.to, true); // too late
  EXPECT_FALSE(mover_->is_copied(x.request));
  EXPECT_FALSE(plan(late + 2s).empty());
  EXPECT_EQ(mover_->status().refused, 2u);
}

TEST_F(RequestMover, WhoIsOnItsWayCountsWhereItGoes) {
  run(1, 100, 0);
  run(2, 100, 0);
  run(3, 50, 2); // 1.51 ms, less than one of these
  mover_->hear(prices_of(0));
  EXPECT_EQ(mover_->best_of({1, 2}, journal_, 10), std::vector<rank_id>{1});
  auto orders = plan();
  ASSERT_EQ(orders.size(), 1u);
  ASSERT_EQ(orders[0].to, 1);
  EXPECT_EQ(mover_->best_of({1, 2}, journal_, 10), std::vector<rank_id>{2});
  mover_->copied(orders[0].request, 1, 1, false);
  EXPECT_EQ(mover_->best_of({1, 2}, journal_, 10), std::vector<rank_id>{1});
}

TEST_F(RequestMover, StaysIfThatPaysNoMore) {
  run(1, 100, 0);
  run(2, 100, 0);
  mover_->hear(prices_of(0));
  auto orders = plan();
  ASSERT_EQ(orders.size(), 1u);
  mover_->copied(orders[0].request, 1, orders[0].to, true);
  run(3, 100, orders[0].to); // it would be as full as the other is
  EXPECT_EQ(due(orders[0].request), std::nullopt);
  EXPECT_EQ(mover_->status().refused, 1u);
  EXPECT_EQ(mover_->take_given_up().size(), 1u);
}

TEST_F(RequestMover, StaysIfThereIsNoRoomAnyMore) {
  cluster_.limits.max_num_seqs = 2;
  make();
  run(1, 900, 0);
  run(2, 900, 0);
  mover_->hear(prices_of(0));
  auto orders = plan();
  ASSERT_EQ(orders.size(), 1u);
  mover_->copied(orders[0].request, 1, orders[0].to, true);
  run(3, 10, orders[0].to);
  run(4, 10, orders[0].to);
  EXPECT_EQ(due(orders[0].request), std::nullopt);
}

TEST_F(RequestMover, APolicyFromOutsideKnowsWhatItDoes) {
  auto policy = std::make_shared<given_policy>();
  settings_.policy = policy;
  make();
  mover_->hear(prices_of(0));
  run(1, 100, 0);
  run(2, 100, 1);
  policy->moves = {{1, 0, 1, 101, 0, 0}};
  ASSERT_EQ(plan().size(), 1u);
  mover_->copied(1, 1, 1, true);
  EXPECT_EQ(due(1), rank_id{1});
}

TEST_F(RequestMover, SaysWhatIsWrongWithThePlanOfAnyUnit) {
  auto policy = std::make_shared<given_policy>();
  settings_.policy = policy;
  cluster_ = single_process(4, 1);
  cluster_.units = {{"a", unit_role::both, {0, 1}, {0}},
                    {"b", unit_role::both, {2, 3}, {0}}};
  journal_ = request_journal{4};
  usable_ = {0, 1, 2, 3};
  make();
  run(1, 100, 2);
  policy->moves = {{1, 0, 1, 101, 0, 0}}; // not of the first
  EXPECT_EQ(plan().size(), 1u);
  EXPECT_EQ(mover_->take_complaint(), "request 1 cannot move from there");
}

TEST_F(RequestMover, SettingsHaveToMakeSense) {
  auto why = [this] {
    auto ok = check_moving(settings_, cluster_);
    EXPECT_TRUE(ok || ok.why().code == errc::invalid_input);
    return ok ? "" : ok.why().message;
  };
  EXPECT_NE(why().find("moving_requests"), std::string::npos);
  cluster_.limits.moving_requests = true;
  EXPECT_EQ(why(), "");
  settings_.interval = 0ms;
  EXPECT_NE(why().find("intervals above 0"), std::string::npos);
}

TEST_F(RequestMover, LeavesAloneWhatHasReasonsToStay) {
  run(1, 100, 0);
  journal_.accept(2, prompt(100), {0}); // is being read
  auto wish = prompt(100);
  wish->rank = 0;
  journal_.accept(3, wish, {0});
  answer(3, 0, 1);
  run(4, 100, 0, 96); // is about to end
  run(5, 100, 0);
  journal_.mark(5); // may have killed somebody
  mover_->hear(prices_of(0));
  auto orders = plan();
  ASSERT_EQ(orders.size(), 1u);
  EXPECT_EQ(orders[0].request, 1u);
}

TEST_F(RequestMover, StaysWithinItsUnit) {
  cluster_.units = {{"p", unit_role::prefill, {0}, {0}},
                    {"d", unit_role::decode, {1, 2}, {0}}};
  make();
  run(1, 100, 0);
  run(2, 100, 0);
  run(3, 100, 1);
  run(4, 100, 1);
  mover_->hear(prices_of(1));
  auto orders = plan();
  ASSERT_EQ(orders.size(), 1u);
  EXPECT_EQ(orders[0].from, 1);
  EXPECT_EQ(orders[0].to, 2);
}

TEST_F(RequestMover, FollowsNoPolicyThatBreaksTheRules) {
  auto policy = std::make_shared<given_policy>();
  settings_.policy = policy;
  make();
  run(1, 100, 0);
  run(2, 100, 0);
  policy->moves = {{1, 0, 2, 101, 0, 0}};
  auto orders = plan();
  ASSERT_EQ(orders.size(), 1u) << "also without prices";
  EXPECT_EQ(orders[0].to, 2);
  EXPECT_EQ(mover_->take_complaint(), "");
  mover_->copied(1, 1, 2, false);
  mover_->hear(prices_of(0));
  for (auto& [moves, why] :
       std::vector<std::pair<std::vector<balance::request_move>, std::string>>{
         {{{2, 1, 0, 0, 0, 0}}, "request 2 cannot move from there"},
         {{{7, 0, 1, 0, 0, 0}}, "request 7 cannot move from there"},
         {{{2, 0, 1, 0, 0, 0}, {2, 0, 2, 0, 0, 0}},
          "request 2 is to move twice"},
         {{{2, 0, 3, 0, 0, 0}},
          "request 2 is to move to a rank that is none or its own"},
         {{{2, 0, 0, 0, 0, 0}},
          "request 2 is to move to a rank that is none or its own"}}) {
    make();
    mover_->hear(prices_of(0));
    policy->moves = moves;
    EXPECT_EQ(plan().size(), 1u) << "the built-in one plans";
    EXPECT_EQ(mover_->take_complaint(), why);
  }
}
