#include "runtime/batching/step_book.hpp"

#include "tests/unit/runtime/v3_shapes.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

planned_step step_of(const std::vector<uint32_t>& depths) {
  planned_step out;
  out.cost = double(depths.size());
  for (auto depth : depths) {
    batch_rows rows;
    rows.tokens = {1};
    rows.first_position = depth;
    out.rows.sequences.push_back(rows);
  }
  return out;
}

/// Each pair of a layer takes 1 us, each row 10 us.
timed_stages run(const planned_step& x) {
  timed_stages out;
  auto load = step_load::of(x.rows);
  out.took[size_t(stage::prepare)] = 10e-6 * load.rows();
  out.took[size_t(stage::attention)] = 1e-6 * load.absorbed.pairs;
  return out;
}

class StepBook : public testing::Test {
protected:
  void serve(step_book& x, int num_steps) {
    for (int i = 0; i < num_steps; ++i) {
      std::vector<uint32_t> depths(1 + i % 5, 10 + i * 37 % 400);
      auto step = step_of(depths);
      step_book::ended_step ended;
      if (x.begin(step, now)) {
        ended.stages = run(step);
        ++num_timed;
      }
      now += 1ms * depths.size();
      x.end(ended, now);
    }
  }

  clock::instant now{1s};
  int num_timed = 0;
};

TEST_F(StepBook, LearnsFromStagesWhatRowsCost) {
  auto shapes = v3_shapes();
  step_book x{shapes, {}};
  EXPECT_EQ(x.seconds_for(0, 1), 0);
  serve(x, 16 + 170);
  EXPECT_EQ(num_timed, 16 + 10);
  auto cost = x.news(0);
  ASSERT_TRUE(cost);
  EXPECT_GT(cost->per_decoded_pair,
            10 * step_cost::of_shapes(shapes).per_decoded_pair);
  EXPECT_FALSE(x.news(0));
  EXPECT_GT(x.seconds_for(0, 1), 0);
  EXPECT_GT(x.seconds_for(100000, 1), 2 * x.seconds_for(0, 1))
    << "by that cost";
}

TEST_F(StepBook, LearnsNothingFromStepsThatFailed) {
  step_book x{v3_shapes(), {}};
  for (int i = 0; i < 40; ++i) {
    auto step = step_of({7, 7});
    x.begin(step, now);
    now += 1ms;
    x.end({0, false, {}, run(step)}, now);
  }
  EXPECT_FALSE(x.news(0));
  EXPECT_EQ(x.seconds_for(0, 1), 0);
}

TEST_F(StepBook, KeepsTheNumberOfLanesThatIsGiven) {
  step_book::settings given;
  given.num_lanes = 3;
  step_book x{v3_shapes(), given};
  EXPECT_EQ(x.lanes_for(2, false), 3u);
  EXPECT_EQ(x.lanes_for(100, true), 3u);
}

} // namespace
