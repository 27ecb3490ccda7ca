/// What layer_work says of stages is what the operations of the real ones
/// cost, which virtual devices take their times from.

#include "runtime/cluster/node_parts.hpp"
#include "runtime/cost/layer_work.hpp"
#include "runtime/model/attention_forms.hpp"
#include "runtime/sim/idle_executor.hpp"
#include "tests/places.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

/// Adds up what products cost; computes nothing.
class counting_executor : public kernels::executor {
public:
  std::string_view target() const override {
    return idle_->target();
  }

  uint64_t weight_bytes(kernels::dtype type, uint32_t rows, uint32_t cols,
                        uint32_t groups) const override {
    return idle_->weight_bytes(type, rows, cols, groups);
  }

  std::string run(const kernels::operation& op) override {
    auto is = [&]<class... Ops>() {
      return (std::holds_alternative<Ops>(op) || ...);
    };
    using namespace kernels;
    if (is.template operator()<linear, grouped_linear, mla_attention,
                               mha_attention, router, expert_mlp>())
      flops += double(cost_of(op).flops);
    return idle_->run(op);
  }

  double flops = 0;

private:
  std::unique_ptr<kernels::executor> idle_ = make_idle_executor();
};

class LayerWorkOfStages : public testing::Test {
protected:
  LayerWorkOfStages() {
    auto cluster = single_process(1, 1);
    cluster.max_model_len = 1024;
    node_options options;
    options.num_threads = 1;
    options.allow_overcommit = true;
    options.device = kernels::make_inline_device(0, counter_);
    auto made = load_node_parts(
      cluster, 0, (source_dir() / "examples/nano/model").string(), options);
    EXPECT_TRUE(made) << made.why().message;
    parts_ = *made;
  }

  template <class F>
  double flops_of_stage(F run) {
    counter_->flops = 0;
    run();
    return counter_->flops;
  }

  batch rows(uint32_t sequences, uint32_t count, uint32_t first) const {
    batch out;
    for (uint32_t i = 0; i < sequences; ++i) {
      batch_rows next;
      next.tokens.assign(count, 1);
      next.first_position = first;
      next.blocks = std::make_shared<const kernels::block_table>(
        (first + count + 63) / 64, i);
      if (count >= min_multi_head_segment)
        next.form = attention_form::multi_head;
      next.want_logits = true;
      out.sequences.push_back(std::move(next));
    }
    return out;
  }

  void compare(const batch& x) {
    auto& stages = *parts_->ranks[0]->lanes[0];
    layer_work work{parts_->config, value_bytes::published()};
    auto load = step_load::of(x);
    uint32_t layer = parts_->config.first_k_dense_replace;
    stages.begin(x);
    auto attention = flops_of_stage([&] {
      stages.prepare(layer);
      stages.attention(layer);
    });
    EXPECT_EQ(attention,
              flops_of(work.prepare(load)) + flops_of(work.attention(load)));
    auto routing = flops_of_stage([&] { stages.route(layer); });
    EXPECT_EQ(routing, flops_of(work.route(load.rows())));
    auto shared = flops_of_stage([&] { stages.shared_expert(layer); });
    EXPECT_EQ(shared, flops_of(work.shared_expert(load.rows())));
    auto dense = flops_of_stage([&] { stages.dense_mlp(0); });
    EXPECT_EQ(dense, flops_of(work.dense_mlp(load.rows())));
    auto head = flops_of_stage([&] { stages.head(); });
    EXPECT_EQ(head, flops_of(work.head(double(x.sequences.size()))));
  }

  std::shared_ptr<counting_executor> counter_
    = std::make_shared<counting_executor>();
  std::shared_ptr<node_parts> parts_;
};

TEST_F(LayerWorkOfStages, IsWhatDecodingComputes) {
  compare(rows(5, 1, 300));
}

TEST_F(LayerWorkOfStages, IsWhatAPromptInMultiHeadFormComputes) {
  compare(rows(1, 200, 64));
}

TEST_F(LayerWorkOfStages, IsWhatAShortPromptComputes) {
  compare(rows(2, 20, 0));
}

} // namespace
