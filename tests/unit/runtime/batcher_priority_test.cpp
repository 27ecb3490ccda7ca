// Who comes first where requests have priorities, and that nobody starves.

#include "runtime/batching/batcher.hpp"
#include "tests/unit/runtime/batcher_fixture.hpp"

#include <algorithm>
#include <map>
#include <random>

using namespace troupe;

namespace {

class BatcherPriority : public batcher_fixture {
protected:
  void add(request_id id, int32_t priority, uint32_t num_prompt = 1,
           uint32_t max_tokens = 1) {
    auto what = request(num_prompt, max_tokens);
    what->priority = priority;
    batcher_->add(id, 1, std::move(what));
  }

  /// Until all have ended: their ids, in the order of their first tokens.
  std::vector<request_id> order() {
    std::vector<request_id> out;
    while (batcher_->num_running() + batcher_->num_waiting() > 0)
      for (auto& x : step())
        if (x.event.first_position == 0)
          out.push_back(x.request);
    return out;
  }
};

using ids = std::vector<request_id>;

TEST_F(BatcherPriority, TheSmallerComesFirst) {
  make(1, 8, 128, 2);
  add(1, 0);
  add(2, 3);
  add(3, -1);
  add(4, 0);
  EXPECT_EQ(order(), (ids{3, 1, 4, 2}));
}

TEST_F(BatcherPriority, EqualOnesComeAsTheyHaveArrived) {
  make(1, 8, 128, 2);
  for (request_id id = 1; id <= 5; ++id)
    add(id, -7);
  EXPECT_EQ(order(), (ids{1, 2, 3, 4, 5}));
}

TEST_F(BatcherPriority, WhoRunsIsNotSentAway) {
  make(1, 8, 128, 2);
  add(1, 5, 1, 3);
  step();
  add(2, -5);
  EXPECT_EQ(order(), (ids{2}));
}

TEST_F(BatcherPriority, TheLastInLineGivesItsBlocksBack) {
  // Both are let in with two blocks each, and want four of six in the end.
  make(2, 128, 256, 6);
  add(1, 1, 40, 200);
  add(2, 0, 40, 200);
  std::map<request_id, uint32_t> last;
  for (uint32_t i = 0; batcher_->num_running() + batcher_->num_waiting(); ++i) {
    ASSERT_LT(i, 1000u);
    for (auto& x : step())
      if (x.event.finish != finish_reason::none)
        last[x.request] = i;
  }
  EXPECT_GE(batcher_->num_preemptions(), 1u);
  EXPECT_LT(last.at(2), last.at(1));
}

TEST_F(BatcherPriority, OneLessIsWorthSoManyPlaces) {
  make(1, 8, 128, 2);
  add(1, 0);
  for (request_id id = 2; id <= passed_for_priority + 1; ++id)
    add(id, -1);
  add(1000, -1);
  auto all = order();
  ASSERT_EQ(all.size(), size_t(passed_for_priority) + 2);
  // Of the 64 that came behind it the last has the same place, and is younger.
  EXPECT_EQ(all[passed_for_priority - 1], 1u);
}

TEST_F(BatcherPriority, NobodyStarves) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random{seed};
    make(uint32_t(random() % 3) + 1, 8, 128, 8);
    // Urgent ones without end, and one that is not.
    int32_t late = int32_t(random() % 5);
    add(1, late);
    uint64_t num_passed = 0;
    request_id next = 2;
    for (auto is_answered = false; !is_answered;) {
      while (batcher_->num_waiting() < 4)
        add(next++, int32_t(random() % 3) - 2);
      for (auto& x : step()) {
        is_answered |= x.request == 1;
        num_passed += !is_answered;
      }
      ASSERT_LT(num_passed, uint64_t(late + 2) * passed_for_priority + 8);
    }
  }
}

} // namespace
