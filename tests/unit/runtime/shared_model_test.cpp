#include "runtime/cluster/shared_model.hpp"

#include "runtime/cluster/node_parts.hpp"
#include "runtime/model/expert_proof.hpp"
#include "tests/model_files.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

topology two_nodes() {
  topology out;
  out.nodes = {{"a", "127.0.0.1", true, true, false, {0}, {0}},
               {"b", "127.0.0.1", false, false, false, {1}, {1}}};
  out.max_model_len = 64;
  out.limits = {.max_num_seqs = 4,
                .max_num_batched_tokens = 8,
                .max_num_waiting = 1,
                .num_kv_blocks = 4};
  return out;
}

class SharedModel : public testing::Test {
protected:
  static std::shared_ptr<kernels::device> make_device() {
    return kernels::make_inline_device(0, kernels::make_reference_executor());
  }

  std::shared_ptr<node_parts> load(node_id node, const node_options& options) {
    auto out = load_node_parts(two_nodes(), node, golden_case("v3-fp8"),
                               options);
    EXPECT_TRUE(out) << out.why().message;
    return out ? *out : nullptr;
  }

  node_options sharing() {
    node_options out;
    out.model = model_;
    out.device = make_device();
    return out;
  }

  std::shared_ptr<shared_model> model_
    = *shared_model::open(golden_case("v3-fp8"), make_device());
};

TEST_F(SharedModel, LoadsEachPartOnceForAllNodes) {
  auto a = load(0, sharing());
  auto again = load(0, sharing());
  auto b = load(1, sharing());
  ASSERT_TRUE(a && again && b);
  EXPECT_EQ(a->attention, b->attention);
  auto lenders = [](auto& node) { return node->workers[0]->shard->lenders; };
  EXPECT_EQ(lenders(a), lenders(again));
  EXPECT_NE(lenders(a), lenders(b));
  EXPECT_NE(a->device, b->device);
}

TEST_F(SharedModel, HoldsAnExpertOnceHoweverManyShardsItIsIn) {
  auto& c = model_->config();
  expert_lists some(c.num_moe_layers(), {0, 2}), more(some.size(), {2, 1, 0});
  auto a = model_->experts(precision::fp8, some, {}, {});
  ASSERT_TRUE(a) << a.why().message;
  uint64_t loaded = 0;
  auto b = model_->experts(precision::fp8, more,
                           [&](uint64_t done, uint64_t) { loaded = done; }, {});
  ASSERT_TRUE(b) << b.why().message;
  auto where = [](auto& shard, size_t slot) {
    return (*shard)->slots[0][slot].gate.data;
  };
  EXPECT_EQ(where(a, 0).offset, where(b, 2).offset);
  EXPECT_EQ(where(a, 1).offset, where(b, 0).offset);
  expert_lists one(some.size(), {1});
  EXPECT_EQ(loaded, expert_weight_bytes(model_->source(), c, one));
  EXPECT_EQ((*b)->digests.size(), (*a)->digests.size() / 2 * 3);
}

TEST_F(SharedModel, LendsAnExpertAndLoadsItAloneIfNobodyHasIt) {
  expert_lists some(model_->config().num_moe_layers(), {0, 2});
  auto shard = model_->experts(precision::fp8, some, {}, {});
  ASSERT_TRUE(shard);
  auto lent = model_->expert(precision::fp8, 0, 2, {});
  ASSERT_TRUE(lent);
  EXPECT_FALSE(lent->is_new);
  EXPECT_EQ(lent->weights.gate.data.offset,
            (*shard)->slots[0][1].gate.data.offset);
  auto alone = model_->expert(precision::fp8, 0, 1, {});
  ASSERT_TRUE(alone) << alone.why().message;
  EXPECT_TRUE(alone->is_new);
  auto again = model_->expert(precision::fp8, 0, 1, {});
  EXPECT_EQ(again->owner, alone->owner);
  EXPECT_FALSE(again->is_new);
  std::weak_ptr<const expert_shard> owner = alone->owner;
  again = alone = *lent;
  EXPECT_TRUE(owner.expired()) << "its memory is free";
  EXPECT_TRUE(model_->expert(precision::fp8, 0, 1, {})->is_new);
}

TEST_F(SharedModel, TellsExpertsApartByTheirDigests) {
  auto all = model_->digests({});
  ASSERT_TRUE(all);
  auto first = model_->config().first_k_dense_replace;
  auto a = expert_digest(*all, first, 1);
  auto alone = model_->expert(precision::fp8, 0, 1, {});
  ASSERT_TRUE(a && alone);
  EXPECT_EQ(expert_digest(alone->owner->digests, first, 1), a);
  EXPECT_NE(expert_digest(*all, first, 2), a);
  EXPECT_NE(expert_digest(*all, first + 1, 1), a);
  EXPECT_FALSE(expert_digest(*all, first, 9999));
}

TEST_F(SharedModel, WeightsOutliveWhoLoadedThem) {
  auto first = load(0, sharing());
  auto held = first->attention;
  first.reset();
  auto second = load(1, sharing());
  EXPECT_EQ(second->attention, held);
}

TEST_F(SharedModel, GivesTheDigestsOfANodeThatIsAlone) {
  node_options alone;
  alone.target = "reference";
  auto own = load(0, alone);
  auto shared = load(0, sharing());
  ASSERT_TRUE(own && shared);
  EXPECT_EQ(own->digests, shared->digests);
  auto all = model_->digests({});
  ASSERT_TRUE(all) << all.why().message;
  for (auto& [name, x] : own->digests)
    EXPECT_EQ(all->at(name), x) << name;
}

TEST_F(SharedModel, SaysAtOnceWhatIsWrongWithADirectory) {
  EXPECT_FALSE(shared_model::open("/nowhere", make_device()));
}

} // namespace
