/// Several steps out at once: who is in which, and that all get what they would
/// have got alone.

#include "tests/unit/runtime/batcher_fixture.hpp"

#include <deque>
#include <map>
#include <random>
#include <set>

using namespace troupe;

namespace {

class BatcherLanes : public batcher_fixture {
protected:
  using numbers = std::vector<uint32_t>;

  void make_lanes(uint32_t num_lanes, uint32_t max_num_seqs, uint32_t max_rows,
                  uint32_t num_blocks = 256) {
    num_lanes_ = num_lanes;
    shape_.num_lanes = num_lanes;
    make(max_num_seqs, max_rows, 512, num_blocks);
  }

  std::optional<planned_step> plan() {
    return batcher_->next_step(num_lanes_);
  }

  std::vector<batch_output> end(const planned_step& x) {
    return batcher_->end_step(x.lane, model_.run(x.rows));
  }

  void add(request_id id, uint32_t num_prompt, uint32_t max_tokens) {
    batcher_->add(id, 1, request(num_prompt, max_tokens));
  }

  static std::shared_ptr<generation_request> any_request(std::mt19937& random) {
    auto below = [&](uint32_t n) { return uint32_t(random() % n); };
    auto x = request(1 + below(below(3) == 0 ? 200 : 20), 1 + below(30));
    x->sampling.temperature = below(2) ? 0.0f : 1.0f;
    x->sampling.seed = random();
    return x;
  }

  /// Requests that have been let in and decode.
  void start(uint32_t count, uint32_t max_tokens) {
    for (request_id id = 1; id <= count; ++id)
      add(id, 1, max_tokens);
    while (batcher_->num_waiting() > 0) {
      auto step = plan();
      ASSERT_TRUE(step);
      end(*step);
    }
  }

  uint32_t num_lanes_ = 1;
};

} // namespace

TEST_F(BatcherLanes, SharesThoseWhoDecode) {
  make_lanes(2, 16, 64);
  ASSERT_NO_FATAL_FAILURE(start(9, 8));
  auto first = plan();
  auto second = plan();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->rows.num_rows(), 5u);
  EXPECT_EQ(second->rows.num_rows(), 4u);
  EXPECT_EQ(second->behind, 0);
  EXPECT_NE(first->lane, second->lane);
  EXPECT_FALSE(plan()) << "every lane has a step";
}

TEST_F(BatcherLanes, TakesAllIntoOneStepIfOneIsWanted) {
  make_lanes(2, 16, 64);
  ASSERT_NO_FATAL_FAILURE(start(9, 8));
  auto first = batcher_->next_step(1);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->rows.num_rows(), 9u);
  EXPECT_FALSE(batcher_->next_step(1));
}

TEST_F(BatcherLanes, WaitsForOtherStepsIfOneIsWanted) {
  make_lanes(2, 16, 64);
  ASSERT_NO_FATAL_FAILURE(start(8, 8));
  auto first = plan();
  auto second = plan();
  ASSERT_TRUE(first && second);
  end(*first);
  EXPECT_FALSE(batcher_->next_step(1));
  end(*second);
  EXPECT_EQ(batcher_->next_step(1)->rows.num_rows(), 8u);
}

TEST_F(BatcherLanes, HoldsAsManySequencesInEachLaneAsInAStep) {
  make_lanes(3, 4, 64);
  ASSERT_NO_FATAL_FAILURE(start(12, 100));
  EXPECT_EQ(batcher_->num_running(), 12u);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(plan()->rows.num_rows(), 4u);
}

TEST_F(BatcherLanes, LeavesNobodyOutTwice) {
  make_lanes(2, 8, 64);
  ASSERT_NO_FATAL_FAILURE(start(3, 100));
  auto first = plan();
  auto second = plan();
  ASSERT_TRUE(first && second);
  std::map<request_id, int> rounds;
  for (int i = 0; i < 20; ++i) {
    for (auto& x : end(*first))
      ++rounds[x.request];
    first = plan();
    ASSERT_TRUE(first);
    for (auto& x : end(*second))
      ++rounds[x.request];
    second = plan();
    ASSERT_TRUE(second);
  }
  ASSERT_EQ(rounds.size(), 3u);
  for (auto& [id, n] : rounds)
    EXPECT_GE(n, 19) << id;
}

TEST_F(BatcherLanes, CutsAPromptIntoStepsThatFollowEachOther) {
  make_lanes(2, 4, 64);
  add(1, 100, 4);
  auto first = plan();
  auto second = plan();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(sizes(first->rows), numbers{32});
  EXPECT_EQ(sizes(second->rows), numbers{32});
  EXPECT_EQ(second->rows.sequences[0].first_position, 32u);
  EXPECT_EQ(first->behind, 0);
  EXPECT_EQ(second->behind, 1 << first->lane);
}

TEST_F(BatcherLanes, CutsWhereBothHalvesCostTheSame) {
  shape_.cost = {1, 1};
  make_lanes(2, 4, 512);
  add(1, 100, 4);
  auto first = plan();
  auto second = plan();
  ASSERT_TRUE(first && second);
  // 70 * 71 / 2 + 70 of 100 * 101 / 2 + 100
  EXPECT_EQ(sizes(first->rows), numbers{70});
  EXPECT_EQ(sizes(second->rows), numbers{30});
}

TEST_F(BatcherLanes, LimitsPromptsBesideThoseWhoDecode) {
  make_lanes(1, 4, 64);
  add(1, 3, 9);
  add(2, 60, 9);
  auto alone = batcher_->next_step(1, 20);
  ASSERT_TRUE(alone);
  EXPECT_EQ(alone->rows.num_rows(), 63u) << "nobody decodes yet";
  end(*alone);
  add(3, 60, 9);
  auto beside = batcher_->next_step(1, 20);
  ASSERT_TRUE(beside);
  EXPECT_EQ(sizes(beside->rows), (numbers{1, 1, 18}));
  end(*beside);
  auto late = batcher_->next_step(1, 0);
  ASSERT_TRUE(late);
  EXPECT_EQ(sizes(late->rows), (numbers{1, 1, 1})) << "but it goes on";
}

// The oldest has half of what prompts may cost, not all of it.
TEST_F(BatcherLanes, LetsShortPromptsPassWhereTheLimitIsThatOfCost) {
  make_lanes(1, 4, 64);
  add(1, 3, 9);
  auto alone = batcher_->next_step(1, 20);
  ASSERT_TRUE(alone);
  end(*alone);
  add(2, 60, 9);
  add(3, 3, 9);
  auto beside = batcher_->next_step(1, 20);
  ASSERT_TRUE(beside);
  EXPECT_EQ(sizes(beside->rows), (numbers{1, 16, 3}));
  end(*beside);
  auto dear = batcher_->next_step(1, 0);
  ASSERT_TRUE(dear);
  EXPECT_EQ(sizes(dear->rows), (numbers{1, 1, 1})) << "two of them decode";
}

// Who waits for a place makes no step one of prompts.
TEST_F(BatcherLanes, HasPromptsOnlyIfSomeCanBeComputed) {
  shape_.max_num_running = 1;
  make_lanes(1, 1, 64);
  EXPECT_FALSE(batcher_->has_prompts());
  add(1, 3, 9);
  add(2, 5, 9);
  EXPECT_TRUE(batcher_->has_prompts());
  auto first = plan();
  ASSERT_TRUE(first);
  EXPECT_EQ(sizes(first->rows), numbers{3});
  end(*first);
  auto second = plan();
  ASSERT_TRUE(second);
  EXPECT_EQ(sizes(second->rows), numbers{1});
  EXPECT_FALSE(batcher_->has_prompts()) << "the other one has no place";
  end(*second);
}

TEST_F(BatcherLanes, MayEndInAnotherOrderThanTheyFollow) {
  make_lanes(2, 4, 64);
  add(1, 60, 2);
  auto first = plan();
  auto second = plan();
  ASSERT_TRUE(first && second);
  auto one = model_.run(first->rows);
  auto two = model_.run(second->rows);
  auto out = batcher_->end_step(second->lane, std::move(two));
  ASSERT_EQ(out.size(), 1u);
  auto third = plan();
  ASSERT_TRUE(third);
  EXPECT_EQ(third->rows.sequences[0].first_position, 60u);
  EXPECT_EQ(third->behind, 1 << first->lane);
  EXPECT_TRUE(batcher_->end_step(first->lane, std::move(one)).empty());
  EXPECT_EQ(end(*third).at(0).event.finish, finish_reason::length);
  EXPECT_EQ(pool_->num_free(), pool_->num_blocks());
}

TEST_F(BatcherLanes, KeepsBlocksUntilTheLastOfItsStepsHasEnded) {
  make_lanes(2, 4, 64);
  add(1, 60, 2);
  auto first = plan();
  auto second = plan();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(batcher_->fail_step(first->lane, {errc::peer_lost, "b"}).size(),
            1u);
  EXPECT_LT(pool_->num_free(), pool_->num_blocks());
  EXPECT_TRUE(batcher_->fail_step(second->lane, {errc::peer_lost, "b"}).empty())
    << "it has been told";
  EXPECT_EQ(pool_->num_free(), pool_->num_blocks());
}

/// Steps that are out in a test, some of which have been given up already by
/// who runs them, with all that follow them.
struct steps_out {
  struct step {
    uint32_t number = 0;
    uint8_t lane = 0;
    step_result result = {};
    std::set<uint32_t> behind = {}; ///< Numbers.
    std::set<uint32_t> whose = {};  ///< First blocks, of one sequence each.
    bool is_given_up = false;
  };

  void add(const planned_step& x, step_result result) {
    step out{++last, x.lane, std::move(result)};
    for (auto& rows : x.rows.sequences)
      out.whose.insert(rows.blocks->front());
    for (auto& other : all)
      if (x.behind >> other.lane & 1) {
        out.behind.insert(other.number);
        if (other.is_given_up) // who plans has not heard yet
          make_nonsense(x.rows, other, out.result);
      }
    all.push_back(std::move(out));
  }

  /// Of what follows rows that were not computed.
  static void make_nonsense(const batch& rows, const step& other,
                            step_result& result) {
    size_t at = 0;
    for (auto& x : rows.sequences)
      if (x.draw) {
        if (other.whose.contains(x.blocks->front()))
          result.tokens[at] = (result.tokens[at] + 1)
                              % int32_t(token_model::num_choices);
        ++at;
      }
  }

  void give_up(step& x) {
    x.is_given_up = true;
    for (auto& other : all)
      if (other.behind.contains(x.number) && !other.is_given_up)
        give_up(other);
  }

  /// What it follows has ended, or is to end well.
  bool may_end(const step& x) const {
    return x.is_given_up || std::ranges::none_of(all, [&](auto& other) {
             return other.is_given_up && x.behind.contains(other.number);
           });
  }

  std::vector<step> all;
  uint32_t last = 0;
};

/// Steps end in any order; some fail, some are given up, some requests are
/// cancelled.
TEST_F(BatcherLanes, GiveEverybodyWhatItWouldGetAlone) {
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    auto below = [&](uint32_t n) { return uint32_t(random() % n); };
    shape_.cost = {1, seed % 3 * 0.01};
    auto lanes = 1 + seed % 4;
    make_lanes(lanes, 1 + below(4), 16 + below(50), 10 + below(20));
    std::map<request_id, std::shared_ptr<generation_request>> asked;
    std::map<request_id, std::vector<int32_t>> answers;
    std::map<request_id, bool> over;
    for (request_id id = 1; id <= 12; ++id)
      batcher_->add(id, 1, asked[id] = any_request(random));
    steps_out out;
    auto hear = [&](const std::vector<batch_output>& all, bool failed) {
      for (auto& x : all) {
        auto& answer = answers[x.request];
        ASSERT_FALSE(over[x.request]);
        ASSERT_EQ(x.event.first_position, answer.size());
        answer.insert(answer.end(), x.event.tokens.begin(),
                      x.event.tokens.end());
        over[x.request] = x.event.finish != finish_reason::none;
        if (x.event.finish == finish_reason::failed)
          asked.erase(x.request);
        ASSERT_EQ(x.event.finish == finish_reason::failed, failed);
      }
    };
    for (int i = 0; i < 3000; ++i) {
      // Fewer lanes than there are may be wanted.
      auto wanted = below(4) == 0 ? 1 + below(lanes) : lanes;
      uint32_t rows = 0;
      if (auto next = batcher_->next_step(wanted)) {
        rows = next->rows.num_rows();
        ASSERT_LE(rows, shape_.max_num_batched_tokens);
        ASSERT_LE(next->rows.sequences.size(), shape_.max_num_seqs);
        out.add(*next, model_.run(next->rows));
        continue;
      }
      if (out.all.empty() && wanted == lanes)
        break;
      if (out.all.empty())
        continue;
      if (below(20) == 0)
        out.give_up(out.all[below(uint32_t(out.all.size()))]);
      if (below(40) == 0)
        if (auto last = batcher_->cancel(1 + below(12), 1))
          hear({*last}, true);
      auto at = out.all.begin() + below(uint32_t(out.all.size()));
      if (!out.may_end(*at))
        continue;
      auto x = std::move(*at);
      out.all.erase(at);
      if (x.is_given_up) {
        batcher_->abandon_step(x.lane);
        continue;
      }
      auto fails = below(60) == 0;
      hear(fails ? batcher_->fail_step(x.lane, {errc::step_failed, "by chance"})
                 : batcher_->end_step(x.lane, std::move(x.result)),
           fails);
    }
    EXPECT_EQ(batcher_->num_running() + batcher_->num_waiting(), 0u);
    EXPECT_EQ(pool_->num_free(), pool_->num_blocks());
    for (auto& [id, x] : asked)
      EXPECT_EQ(answers[id], token_model::alone(*x).tokens) << "request " << id;
  }
}
