// Who gives its blocks to others comes back to what the keeper has of them.

#include "tests/unit/actors/courier_fixture.hpp"

using namespace troupe;

namespace {

class PreemptedBlocks : public courier_fixture {
protected:
  /// The second one has given its blocks back, of which not all are left, and
  /// the first one has gone: there is room.
  void preempt() {
    request(1, 200, "", 300);
    find(0);
    request(2, 100, "of another", 300);
    find(0);
    while (count(counter::preemptions) == 0)
      step();
    for (int i = 0; i < 64; ++i)
      step(); // of the first, into blocks of the second
    num_fetches_ = keeps_->of<fetch_chain>().size();
    say(scheduler_actor_, cancel_request{1, 5, 7});
    step();
  }

  void step() {
    end_step();
    for (; num_let_go_ < keeps_->of<keep_blocks>().size(); ++num_let_go_) {
      blocks_let_go out;
      auto kept = keeps_->of<keep_blocks>()[num_let_go_];
      for (auto& x : kept.blocks)
        out.blocks.push_back(x.block);
      say(scheduler_actor_, out);
    }
  }

  size_t num_fetches_ = 0; ///< Until then.
  size_t num_let_go_ = 0;  ///< Of what was to be kept.
};

} // namespace

TEST_F(PreemptedBlocks, AreFetchedOnceThereIsRoom) {
  preempt();
  ASSERT_EQ(keeps_->of<fetch_chain>().size(), num_fetches_ + 1);
  auto before = num_steps();
  auto count = static_cast<uint32_t>(last_fetch().chain->size());
  ASSERT_GT(count, 0u);
  find(count);
  EXPECT_EQ(num_steps(), before) << "it waits for them";
  for (uint32_t i = 0; i < count; ++i)
    bring(i);
  for (uint32_t i = 0; i < count; ++i)
    land(i);
  ASSERT_EQ(num_steps(), before + 1);
  auto& rows = last_step()->rows.sequences.at(0);
  EXPECT_EQ(rows.first_position, 192u);
  EXPECT_EQ(rows.tokens.size(), 1u) << "nothing is computed again";
}

TEST_F(PreemptedBlocks, AreComputedAgainWhereNobodyHasThem) {
  preempt();
  auto before = num_steps();
  auto left = 192u - 64 * uint32_t(last_fetch().chain->size());
  find(0);
  ASSERT_EQ(num_steps(), before + 1);
  EXPECT_EQ(last_step()->rows.sequences.at(0).first_position, left);
}

TEST_F(PreemptedBlocks, AreNotWaitedForForLong) {
  preempt();
  auto before = num_steps();
  find(static_cast<uint32_t>(last_fetch().chain->size()));
  say(scheduler_actor_, fetch_overdue{last_fetch().fetch});
  EXPECT_EQ(num_steps(), before + 1);
}

TEST_F(PreemptedBlocks, AreNobodysOnceItIsCancelled) {
  preempt();
  auto before = num_steps();
  auto told = answers_->of<tokens_ready>().size();
  say(scheduler_actor_, cancel_request{2, 5, 7});
  EXPECT_EQ(answers_->of<tokens_ready>().size(), told + 1) << "once";
  find(1);
  bring(0);
  EXPECT_EQ(num_steps(), before);
  EXPECT_EQ(rank_.cache->num_available(), num_blocks);
}

TEST_F(PreemptedBlocks, CountOneRequestThatWaits) {
  preempt();
  request(3, 40);
  find(static_cast<uint32_t>(last_fetch().chain->size()));
  EXPECT_EQ(rank_.counts.waiting.get(), 2u);
}
