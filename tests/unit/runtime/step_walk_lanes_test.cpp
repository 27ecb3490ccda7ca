/// Several lanes, and random walks.

#include "tests/unit/runtime/walker.hpp"

#include <algorithm>
#include <random>

using namespace troupe;
using namespace troupe::walking;

TEST(StepWalkLanes, EndsEachLaneByItself) {
  walker x{2};
  auto& walk = x.walk();
  EXPECT_EQ(x.hear(walk.begin(0)), "run 0-6, notify");
  EXPECT_EQ(x.hear(walk.begin(1)), "lane 1 run 0-6, lane 1 notify");
  EXPECT_EQ(walk.num_steps(), 2u);
  for (int layer = 1; layer < 3; ++layer)
    for (uint8_t lane : {1, 0}) {
      x.hear(walk.stage_ended(x.serial(lane), ""));
      x.hear(x.dispatch(lane));
      x.answer(all_near, walk.key_of(lane));
      x.answer(all_far, walk.key_of(lane));
    }
  EXPECT_EQ(x.hear(walk.stage_ended(x.serial(1), "")), "lane 1 end");
  EXPECT_FALSE(walk.step_is_out(1));
  EXPECT_EQ(x.hear(walk.begin(1)), "lane 1 run 0-6, lane 1 notify");
  EXPECT_EQ(walk.step_of(1), 3u);
  EXPECT_EQ(x.hear(walk.stage_ended(x.serial(0), "")), "end");
}

TEST(StepWalkLanes, FailsNoOtherLaneForRows) {
  walker x{2};
  auto& walk = x.walk();
  x.hear(walk.begin(0));
  x.hear(walk.begin(1));
  x.hear(walk.stage_ended(x.serial(0), ""));
  x.hear(x.dispatch());
  auto of = walk.key_of(0);
  EXPECT_EQ(x.hear(walk.refused(of, "worker 0", rows_fault::no_memory)),
            "fail");
  EXPECT_EQ(x.answer(all_near, of), "-") << "nobody waits for it";
  EXPECT_EQ(x.hear(walk.stage_ended(x.serial(1), "")), "lane 1 dispatch");
}

TEST(StepWalkLanes, FailsAllLanesWithTheirStream) {
  walker x{3};
  auto& walk = x.walk();
  x.hear(walk.begin(0));
  x.hear(walk.begin(2));
  EXPECT_EQ(x.hear(walk.stage_ended(x.serial(2), "broke")),
            "fail, lane 2 fail");
}

TEST(StepWalkLanes, KeepsThoseThatFollowBehind) {
  walker x{3};
  auto& walk = x.walk();
  x.hear(walk.begin(0));
  x.hear(walk.begin(1, 1 << 0));
  x.hear(walk.begin(2, 1 << 0 | 1 << 1));
  for (uint8_t lane : {2, 1}) {
    x.hear(walk.stage_ended(x.serial(lane), ""));
    x.hear(x.dispatch(lane));
    x.answer(all_near, walk.key_of(lane));
    EXPECT_EQ(x.answer(all_far, walk.key_of(lane)),
              "lane " + std::to_string(lane) + " land, lane "
                + std::to_string(lane) + " back")
      << "which is not away any more, but does not go on";
  }
  x.hear(walk.stage_ended(x.serial(0), ""));
  x.hear(x.dispatch());
  x.answer(all_near, walk.key_of(0));
  EXPECT_EQ(x.answer(all_far, walk.key_of(0)),
            "land, back, run 8-12, notify, lane 1 run 8-12, lane 1 notify, "
            "lane 2 run 8-12, lane 2 notify");
}

/// Its end may be known to us and not yet to whoever made the next steps. Then
/// another step in its lane has nothing to do with those.
TEST(StepWalkLanes, FollowNobodyWhoHasEnded) {
  walker x{2};
  auto& walk = x.walk();
  x.hear(walk.begin(0));
  x.hear(walk.fail(0, {errc::step_failed, "for a test"}));
  x.hear(walk.begin(1, 1 << 0));
  x.hear(walk.begin(0, 1 << 1));
  x.hear(walk.stage_ended(x.serial(1), ""));
  x.hear(x.dispatch(1));
  x.answer(all_near, walk.key_of(1));
  EXPECT_EQ(x.answer(all_far, walk.key_of(1)),
            "lane 1 land, lane 1 back, lane 1 run 8-12, lane 1 notify");
}

TEST(StepWalkLanes, FailsThoseThatFollow) {
  walker x{4};
  auto& walk = x.walk();
  x.hear(walk.begin(1));
  x.hear(walk.begin(0, 1 << 1));
  x.hear(walk.begin(2, 1 << 0));
  x.hear(walk.begin(3));
  EXPECT_EQ(x.hear(walk.fail(1, {errc::step_failed, "for a test"})),
            "lane 1 fail, fail, lane 2 fail");
  EXPECT_EQ(walk.cause(2).message, "for a test");
  EXPECT_TRUE(walk.step_is_out(3));
}

/// The owner of a walk whose streams, workers and slabs are chance.
class chance_world {
public:
  chance_world(uint32_t seed, uint8_t num_lanes)
    : random_(seed), x_(num_lanes), ran_(num_lanes) {
  }

  void run() {
    for (uint8_t lane = 0; lane < ran_.size(); ++lane) {
      behind_.push_back(uint8_t(random_() & ((1u << lane) - 1)));
      carry_out(x_.walk().begin(lane, behind_.back()));
    }
    for (int i = 0; i < 10000 && num_ends_ < ran_.size(); ++i)
      something_happens();
    EXPECT_EQ(num_ends_, ran_.size());
    for (auto& lane : ran_) {
      std::vector<uint32_t> all{0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13, 14, 15};
      EXPECT_EQ(lane, all) << "each stage once and in order";
    }
  }

private:
  struct away_rows {
    dispatch_key of;
    answer_section section;
  };

  uint32_t below(size_t n) {
    return uint32_t(random_() % n);
  }

  void something_happens() {
    auto n = notices_.size() + rows_.size();
    if (n == 0 || below(5) == 0)
      return carry_out(
        x_.walk().tick({}, [](uint8_t, uint32_t) { return true; }));
    auto i = below(n);
    if (i < notices_.size()) {
      auto serial = notices_[i];
      notices_.erase(notices_.begin() + i);
      return carry_out(x_.walk().stage_ended(serial, ""));
    }
    answer_first_of(rows_[i - notices_.size()].of, i - notices_.size());
  }

  /// Answers of one section keep their order: the oldest goes first.
  void answer_first_of(dispatch_key of, size_t chosen) {
    for (size_t i = 0; i < rows_.size(); ++i)
      if (rows_[i].of == of
          && rows_[i].section.worker == rows_[chosen].section.worker) {
        auto x = rows_[i];
        rows_.erase(rows_.begin() + long(i));
        std::vector<std::byte> slab(answer_head(1)
                                    + x.section.count * row_bytes);
        write_answer_head(slab.data(), {&x.section, 1});
        return carry_out(x_.walk().rows(of, node_id(x.section.worker),
                                        read_answers(slab, row_bytes)));
      }
  }

  void carry_out(const walk_actions& actions) {
    using enum walk_action::kind;
    for (auto& x : actions)
      if (x.what == walk_action::kind::run)
        for (auto i = x.first; i < x.last; ++i)
          note(x.lane, i);
      else if (x.what == notify)
        notices_.push_back(x.serial);
      else if (x.what == dispatch)
        send(x.lane);
      else if (x.what == end)
        ++num_ends_;
      else
        EXPECT_TRUE(x.what == land || x.what == back)
          << x_.walk().cause(x.lane).message;
  }

  void note(uint8_t lane, uint32_t stage) {
    ran_[lane].push_back(stage);
    if (stage == 1 || stage == 4 || stage == 10)
      for (uint8_t i = 0; i < lane; ++i)
        if ((behind_[lane] >> i & 1) != 0) {
          EXPECT_TRUE(std::ranges::count(ran_[i], stage))
            << "attention of what comes before comes first";
        }
  }

  void send(uint8_t lane) {
    if (below(3) == 0)
      return carry_out(x_.walk().crowded(lane));
    auto of = x_.walk().key_of(lane);
    for (auto& part : x_.plan().workers)
      for (uint32_t done = 0; done < part.count;) {
        auto n = 1 + below(part.count - done);
        rows_.push_back({of, {part.worker, part.first + done, n}});
        done += n;
      }
    carry_out(x_.dispatch(lane));
  }

  std::mt19937 random_;
  walker x_;
  std::vector<std::vector<uint32_t>> ran_; ///< [lanes]
  std::vector<uint32_t> notices_;
  std::vector<away_rows> rows_;
  std::vector<uint8_t> behind_; ///< [lanes]
  size_t num_ends_ = 0;
};

TEST(StepWalkLanes, ComesToItsEndWhateverTheOrder) {
  for (uint32_t seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    chance_world{seed, uint8_t(1 + seed % 4)}.run();
  }
}
