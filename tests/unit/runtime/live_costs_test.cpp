#include "runtime/batching/live_costs.hpp"

#include "tests/unit/runtime/v3_shapes.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

step_load decode(double rows, double context) {
  step_load out;
  out.absorbed = {rows, rows * context, rows * context};
  return out;
}

step_load prompt(double rows, double first) {
  step_load out;
  out.multi_head = {rows, rows * first + rows * (rows + 1) / 2, first + rows};
  return out;
}

/// A machine on which all stages of a layer but attention take 5 us once and
/// 1 us a row, the head 100 us and 10 us a row.
struct machine {
  double decoded_pair = 2e-9; ///< Of a layer.
  double pair = 5e-10;

  timed_stages run(const step_load& x, uint32_t logit_rows) const {
    timed_stages out;
    for (auto what : {stage::prepare, stage::dense_mlp, stage::route,
                      stage::shared_expert, stage::combine})
      out.took[size_t(what)] = 5e-6 + 1e-6 * x.rows();
    out.took[size_t(stage::attention)] = 5e-6 + 1e-6 * x.rows()
                                         + decoded_pair * x.absorbed.pairs
                                         + pair * x.multi_head.pairs;
    if (logit_rows > 0)
      out.took[size_t(stage::head)] = 100e-6 + 10e-6 * logit_rows;
    out.logit_rows = logit_rows;
    return out;
  }

  void serve(live_costs& to) const {
    for (uint32_t i = 0; i < 20; ++i) {
      auto x = decode(1 + i % 7, 100 + 900 * (i % 5));
      to.see(x, run(x, uint32_t(x.rows())));
      x = prompt(130 + 50 * (i % 6), 1000 * (i % 3));
      to.see(x, run(x, i % 2));
    }
  }
};

/// Seconds of a row in the stages of all layers.
double row_of(const model_config& c) {
  double moe = c.num_moe_layers(), all = c.num_hidden_layers;
  return 1e-6 * (2 * all + (all - moe) + 3 * moe);
}

TEST(LiveCosts, FindWhatRowsCostBesideEachOther) {
  auto shapes = v3_shapes();
  live_costs x{shapes};
  EXPECT_FALSE(x.news());
  machine of;
  of.serve(x);
  double expert_row = 3e-6;
  x.see_experts(expert_row);
  auto found = x.news();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->per_row, 1);
  auto row = row_of(shapes) + shapes.num_moe_layers() * expert_row;
  double layers = shapes.num_hidden_layers;
  EXPECT_NEAR(found->per_pair * row / (layers * of.pair), 1, 1e-3);
  EXPECT_NEAR(found->per_decoded_pair * (row + 10e-6)
                / (layers * of.decoded_pair),
              1, 1e-3);
  EXPECT_FALSE(x.news()) << "that is known";
  for (int i = 0; i < 20; ++i)
    machine{8e-9, 5e-10}.serve(x);
  auto later = x.news();
  ASSERT_TRUE(later);
  EXPECT_NEAR(later->per_decoded_pair / found->per_decoded_pair, 4, 0.1);
  EXPECT_NEAR(later->per_pair / found->per_pair, 1, 0.1);
}

TEST(LiveCosts, TakeExpertsAsTheirArithmeticIsWhereTheyAreNotSeen) {
  auto shapes = v3_shapes();
  live_costs x{shapes};
  machine{}.serve(x);
  auto found = x.news();
  ASSERT_TRUE(found);
  auto own = shapes.num_hidden_layers * 5e-10 / row_of(shapes);
  EXPECT_LT(found->per_pair, own) << "a row has experts, too";
  EXPECT_GT(found->per_pair, own / 5);
}

TEST(LiveCosts, KnowWhatAStepTakesWhateverItHas) {
  auto shapes = v3_shapes();
  live_costs x{shapes};
  EXPECT_EQ(x.seconds_of_step(), 0);
  machine{}.serve(x);
  double moe = shapes.num_moe_layers(), all = shapes.num_hidden_layers;
  EXPECT_NEAR(x.seconds_of_step(),
              100e-6 + 5e-6 * (2 * all + (all - moe) + 3 * moe), 1e-6);
  auto head = prompt(200, 0);
  head.absorbed.rows = 1;
  head.multi_head = {};
  EXPECT_NEAR(x.stages().seconds(stage::head, head), 110e-6, 1e-7)
    << "of the rows with logits";
}

TEST(LiveCosts, TakeShortPromptsAsThoseWhoDecode) {
  live_costs x{v3_shapes()};
  for (uint32_t i = 0; i < 40; ++i) {
    auto rows = decode(1 + i % 7, 100 + 900 * (i % 5));
    x.see(rows, machine{}.run(rows, 1));
  }
  auto found = x.news();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->per_pair, found->per_decoded_pair);
}

} // namespace
