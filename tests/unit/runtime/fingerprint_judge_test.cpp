#include "runtime/cluster/fingerprint_judge.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace troupe {
namespace {

using verdict = fingerprint_judge::verdict;

constexpr auto settings = "operations 2\nhidden_size 64\nrope_scaling none\n";
constexpr auto norm = "model.norm.weight";
constexpr auto expert = "model.layers.3.mlp.experts.5.up_proj.weight";
constexpr auto head = "lm_head.weight";

digest_table model() {
  return {{norm, {1, 1}}, {expert, {2, 2}}, {head, {3, 3}}};
}

/// What a node says that holds `held`, in order.
std::vector<numerics> statement(const digest_table& held,
                                const std::string& target = "",
                                const std::string& says = settings) {
  auto out = parts_of(held);
  out.insert(out.begin(), numerics{says, target, {}, false});
  return out;
}

/// Of verdicts: "1: why", or "1" alone.
using verdicts = std::vector<std::string>;

class FingerprintJudge : public testing::Test {
protected:
  void hear(node_id node, const std::vector<numerics>& parts) {
    for (auto& part : parts)
      note(judge_.hear(node, part));
  }

  void know(const digest_table& weights) {
    note(judge_.know(weights));
  }

  void note(const std::vector<verdict>& news) {
    for (auto& x : news)
      all_.push_back(std::to_string(x.node)
                     + (x.refusal.empty() ? "" : ": " + x.refusal));
  }

  verdicts sorted() const {
    auto out = all_;
    std::ranges::sort(out);
    return out;
  }

  fingerprint_judge judge_{{"front", "left", "right"}};
  verdicts all_;
};

TEST_F(FingerprintJudge, AcceptsWhoeverHoldsPartsOfTheControllersModel) {
  hear(0, statement({}));
  hear(1, statement({{norm, {1, 1}}, {head, {3, 3}}}, "cpu/avx2"));
  hear(2, statement({{expert, {2, 2}}}, "cpu/avx2"));
  EXPECT_EQ(all_, verdicts{}) << "nothing is known of the model yet";
  know(model());
  EXPECT_EQ(sorted(), (verdicts{"0", "1", "2"}));
  hear(1, statement({}, "", "other\n"));
  know(model());
  EXPECT_EQ(all_.size(), 3u) << "each is judged once";
}

TEST_F(FingerprintJudge, SaysTheSameInWhateverOrderItHears) {
  const std::string why = "1: its tensor " + std::string{expert}
                          + " is not the controller's: its tokens would differ";
  std::vector<int> order{0, 1, 2, 3};
  do {
    judge_ = fingerprint_judge{{"front", "left", "right"}};
    all_.clear();
    for (auto who : order)
      if (who == 3)
        know(model());
      else
        hear(node_id(who),
             statement(who == 1 ? digest_table{{expert, {2, 9}}} : model()));
    EXPECT_EQ(sorted(), (verdicts{"0", why, "2"}));
  } while (std::ranges::next_permutation(order).found);
}

TEST_F(FingerprintJudge, NamesTheFirstTensorThatDiffersAndCountsTheOthers) {
  know(model());
  hear(0, statement({}));
  hear(1, statement({{norm, {0, 1}}, {expert, {2, 2}}, {head, {3, 4}}}));
  EXPECT_EQ(all_.back(), "1: its tensor lm_head.weight (the first of 2) is not "
                         "the controller's: its tokens would differ");
  hear(2, statement({{"model.unheard.of", {1, 1}}}));
  EXPECT_EQ(all_.back(), "2: it holds a tensor that the controller's model "
                         "lacks: its tokens would differ");
}

TEST_F(FingerprintJudge, RefusesOtherSettingsBeforeAnyWeight) {
  hear(1, {{"operations 2\nhidden_size 65\nrope_scaling none\n", "", {}, 0}});
  EXPECT_EQ(all_, verdicts{}) << "the controller's are not known yet";
  hear(0, {{settings, "", {}, false}});
  EXPECT_EQ(all_, (verdicts{"1: its hidden_size is 65, the controller's is 64: "
                            "its tokens would differ"}));
  hear(2, {{"operations 2\nhidden_size 64\nrope_scaling yarn\nfactor 4\n",
            "",
            {},
            false}});
  EXPECT_EQ(all_.back(), "2: its rope_scaling is yarn, the controller's is "
                         "none: its tokens would differ");
}

TEST_F(FingerprintJudge, ComparesTargetsAmongThoseWhoComputeAlone) {
  hear(0, {{settings, "", {}, false}});
  hear(1, {{settings, "cpu/avx2", {}, false}});
  EXPECT_EQ(all_, verdicts{});
  hear(2, {{settings, "cpu/avx512", {}, false}});
  EXPECT_EQ(all_, (verdicts{"2: it computes with cpu/avx512, node left with "
                            "cpu/avx2: its tokens would differ"}));
}

TEST_F(FingerprintJudge, WhoWasAcceptedIsTheMeasureForWhoComesLater) {
  know(model());
  hear(0, statement({}));
  hear(2, statement(model(), "cpu/avx512"));
  EXPECT_EQ(all_, (verdicts{"0", "2"}));
  hear(1, statement(model(), "cpu/avx2"));
  EXPECT_EQ(all_.back(), "1: it computes with cpu/avx2, node right with "
                         "cpu/avx512: its tokens would differ");
}

TEST_F(FingerprintJudge, WhoWasRefusedIsNoMeasure) {
  hear(0, {{settings, "", {}, false}});
  hear(1, {{"operations 1\n", "cpu/avx2", {}, false}});
  EXPECT_EQ(all_.size(), 1u);
  know(model());
  hear(2, statement(model(), "cpu/avx512"));
  EXPECT_EQ(all_.back(), "2");
}

TEST_F(FingerprintJudge, RefusesWhoDoesNotSayWhatHeComputesWith) {
  hear(0, statement({}));
  hear(1, parts_of(model()));
  EXPECT_EQ(all_, (verdicts{"1: it does not say first what it computes with"}));
  hear(7, statement({}));
  EXPECT_EQ(all_.size(), 1u) << "there is no such node";
}

TEST_F(FingerprintJudge, RefusesMoreTensorsThanAnyModelHas) {
  hear(0, {{settings, "", {}, false}});
  hear(1, {{settings, "", {}, false}});
  numerics part;
  part.tensors.resize(max_tensors_in_part);
  for (size_t i = 0; i < fingerprint_judge::max_tensors;
       i += max_tensors_in_part)
    hear(1, {part});
  EXPECT_EQ(all_, verdicts{});
  hear(1, {part});
  EXPECT_EQ(all_, (verdicts{"1: it speaks of more than 1048576 tensors"}));
}

TEST_F(FingerprintJudge, ANodeAloneIsItsOwnMeasure) {
  judge_ = fingerprint_judge{{"solo"}};
  hear(0, statement(model(), "reference"));
  EXPECT_EQ(all_, (verdicts{"0"}));
}

} // namespace
} // namespace troupe
