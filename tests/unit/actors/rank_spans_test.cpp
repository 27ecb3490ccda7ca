/// Stages of a rank on a device in virtual time, and what is told of them.

#include "actors/rank_spans.hpp"
#include "runtime/sim/machine_file.hpp"
#include "runtime/sim/virtual_device.hpp"
#include "tests/places.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

class RankSpans : public testing::Test {
protected:
  RankSpans() {
    auto cluster = single_process(1, 1);
    cluster.max_model_len = 256;
    auto model = shared_model::open(
      (source_dir() / "examples/nano/model").string(),
      kernels::make_inline_device(0, kernels::make_cpu_executor({})));
    EXPECT_TRUE(model) << model.why().message;
    node_options options;
    options.allow_overcommit = true;
    options.model = *model;
    options.device = std::make_shared<virtual_device>(
      world_, world_.begin_life(0), 0, nullptr, cost_model{modest_device});
    auto made = load_node_parts(cluster, 0, (*model)->source().directory(),
                                options);
    EXPECT_TRUE(made) << made.why().message;
    parts_ = *made;
  }

  ~RankSpans() override {
    parts_->end_streams();
  }

  rank_parts& rank() {
    return *parts_->ranks[0];
  }

  rank_spans spans(span_recorder* to) {
    return {to, rank(), [this] { return world_.now(); }};
  }

  /// The first layer and the head, of `rows` rows of which one has logits.
  void run_stages(rank_spans& to, uint32_t rows) {
    auto& stages = *rank().lanes[0];
    batch step;
    batch_rows all;
    all.tokens.assign(rows, 1);
    all.blocks = std::make_shared<const kernels::block_table>(1, 0);
    all.want_logits = true;
    step.sequences.push_back(all);
    stages.begin(step);
    to.begin_stages(0);
    stages.prepare(0);
    to.end_stage(stage::prepare, 0, 0, 1);
    stages.attention(0);
    to.end_stage(stage::attention, 0, 0, 1);
    stages.head();
    to.end_stage(stage::head, 0, 0, 1);
    world_.run_for(1s);
  }

  world world_{1};
  std::shared_ptr<node_parts> parts_;
};

TEST_F(RankSpans, TellWhatTheDeviceHasTaken) {
  span_recorder recorder{"a", world_.clock_of(no_life)};
  auto to = spans(&recorder);
  to.begin_step(0, true);
  run_stages(to, 5);
  auto timed = to.timed(0);
  ASSERT_TRUE(timed);
  EXPECT_EQ(timed->logit_rows, 1u);
  auto node = recorder.read();
  double sum = 0;
  int num_seen = 0;
  for (auto& track : node.tracks)
    for (auto& x : track.spans) {
      auto took = std::chrono::duration<double>(x.end - x.begin).count();
      EXPECT_GE(took, modest_device.per_kernel);
      EXPECT_NEAR(timed->took[size_t(*stage_of(x.what))], took, 1e-12);
      EXPECT_EQ(x.amount, x.what == span_kind::head ? 1u : 0u);
      sum += took;
      ++num_seen;
    }
  EXPECT_EQ(num_seen, 3);
  EXPECT_LT(sum, 1);
}

TEST_F(RankSpans, TellOnlyOfStepsThatAreTimed) {
  auto to = spans(nullptr);
  to.begin_step(0, false);
  run_stages(to, 5);
  EXPECT_FALSE(to.timed(0));
  to.begin_step(0, true);
  run_stages(to, 5);
  auto few = to.timed(0);
  to.begin_step(0, true);
  run_stages(to, 60);
  auto many = to.timed(0);
  ASSERT_TRUE(few && many);
  auto at = size_t(stage::prepare);
  EXPECT_GT(many->took[at], few->took[at]);
  EXPECT_LT(many->took[at], 12 * few->took[at]) << "each step by itself";
}

} // namespace
