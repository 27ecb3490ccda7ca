#include "runtime/dispatch/placement.hpp"

#include "tests/dispatch_plans.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

using namespace troupe;

namespace {

placement spread(uint32_t num_layers, uint32_t num_experts,
                 std::vector<node_id> node_of_worker) {
  auto num_workers = uint32_t(node_of_worker.size());
  return {num_layers, num_experts, num_workers, std::move(node_of_worker)};
}

/// Where a (token, choice) pair has come to: the facts of one landing row.
struct landed {
  uint32_t token = 0;
  slot_address slot;
};

/// Reads a plan as the receivers will: section by section, row by row.
std::vector<landed> follow(const dispatch_plan& plan) {
  std::vector<landed> out;
  for (auto& slab : plan.slabs)
    for (auto& section : slab.sections)
      for (auto& slot : section.slots)
        for (auto i = slot.first; i < slot.first + slot.count; ++i)
          out.push_back({slab.tokens.at(section.row.at(i)),
                         {section.worker, uint16_t(slot.slot)}});
  return out;
}

template <class Range, class Key>
bool strictly_ascending(const Range& range, Key key) {
  return std::ranges::adjacent_find(range, std::greater_equal<>{}, key)
         == range.end();
}

void check_order(const placement& map, const dispatch_plan& plan) {
  EXPECT_TRUE(strictly_ascending(plan.slabs, &slab_plan::first));
  for (auto& slab : plan.slabs) {
    std::set<uint32_t> tokens(slab.tokens.begin(), slab.tokens.end());
    EXPECT_EQ(tokens.size(), slab.tokens.size()) << "a row travels twice";
    std::set<uint32_t> used;
    EXPECT_FALSE(slab.sections.empty());
    EXPECT_TRUE(strictly_ascending(slab.sections, &slab_section::worker));
    for (auto& section : slab.sections) {
      EXPECT_EQ(map.node_of(section.worker), slab.node);
      EXPECT_TRUE(strictly_ascending(section.slots, &slot_rows::slot));
      used.insert(section.row.begin(), section.row.end());
      EXPECT_EQ(section.experts.size(), section.slots.size());
      uint32_t next = 0;
      for (auto& slot : section.slots) {
        EXPECT_EQ(slot.first, next);
        EXPECT_GT(slot.count, 0u);
        for (auto i = next + 1; i < next + slot.count; ++i)
          EXPECT_LT(slab.tokens.at(section.row.at(i - 1)),
                    slab.tokens.at(section.row.at(i)));
        next += slot.count;
      }
      EXPECT_EQ(next, section.row.size());
    }
    EXPECT_EQ(used.size(), slab.tokens.size()) << "a row nobody asked for";
  }
}

void check_landing(const placement& map, uint32_t layer,
                   const std::vector<int32_t>& experts, uint32_t top_k,
                   const dispatch_plan& plan, rank_id rank) {
  auto landing = follow(plan);
  ASSERT_EQ(landing.size(), experts.size());
  ASSERT_EQ(plan.row_of.size(), experts.size());
  std::set<uint32_t> rows(plan.row_of.begin(), plan.row_of.end());
  EXPECT_EQ(rows.size(), experts.size()) << "two choices land in one row";
  for (uint32_t i = 0; i < experts.size(); ++i) {
    auto& x = landing.at(plan.row_of[i]);
    EXPECT_EQ(x.token, i / top_k);
    auto turn = i / top_k + rank + layer;
    EXPECT_EQ(x.slot, map.choose(layer, uint32_t(experts[i]), turn));
  }
  uint32_t answers = 0;
  for (auto& slab : plan.slabs) {
    EXPECT_EQ(slab.first, answers);
    for (auto& section : slab.sections)
      answers += uint32_t(section.row.size());
  }
  uint32_t next = 0;
  for (auto& worker : plan.workers) {
    EXPECT_EQ(worker.first, next);
    for (uint32_t i = 0; i < worker.count; ++i)
      EXPECT_EQ(landing.at(next++).slot.worker, worker.worker);
  }
  EXPECT_EQ(next, landing.size());
}

/// A dispatch in one piece goes once to each node and each worker.
void check_whole(const dispatch_plan& plan) {
  EXPECT_TRUE(strictly_ascending(plan.slabs, &slab_plan::node));
  EXPECT_TRUE(
    strictly_ascending(plan.workers, &dispatch_plan::returned::worker));
}

/// Rows go in pieces of consecutive ones, none larger than asked for.
void check_pieces(const dispatch_plan& plan, uint32_t max_rows) {
  for (auto& slab : plan.slabs) {
    EXPECT_LE(slab.tokens.size(), max_rows);
    for (auto token : slab.tokens)
      EXPECT_EQ(token / max_rows, slab.tokens[0] / max_rows);
  }
}

std::vector<int32_t> random_routes(std::mt19937& random, uint32_t num_rows,
                                   uint32_t num_experts, uint32_t top_k) {
  std::vector<int32_t> all(num_experts), out;
  std::iota(all.begin(), all.end(), 0);
  for (uint32_t t = 0; t < num_rows; ++t) {
    std::ranges::shuffle(all, random);
    out.insert(out.end(), all.begin(), all.begin() + top_k);
  }
  return out;
}

} // namespace

TEST(Placement, SpreadsTwelveExpertsOverFiveWorkersAsEvenlyAsItGoes) {
  auto map = spread(2, 12, {0, 0, 1, 1, 2});
  std::vector<std::vector<uint32_t>> expected
    = {{0, 1}, {2, 3}, {4, 5, 6}, {7, 8}, {9, 10, 11}};
  for (worker_id w = 0; w < 5; ++w)
    for (auto& experts : map.experts_of(w))
      EXPECT_EQ(experts, expected[w]) << "worker " << w;
}

TEST(Placement, GivesEveryExpertOneSlotAndLeavesNoHole) {
  for (uint32_t num_experts = 1; num_experts <= 20; ++num_experts)
    for (uint32_t num_workers = 1; num_workers <= num_experts; ++num_workers) {
      auto map = spread(2, num_experts, std::vector<node_id>(num_workers));
      size_t least = num_experts, most = 0, total = 0;
      for (uint32_t w = 0; w < num_workers; ++w) {
        auto experts = map.experts_of(worker_id(w)).at(1);
        for (uint16_t slot = 0; slot < experts.size(); ++slot)
          EXPECT_EQ(map.choose(1, experts[slot], slot),
                    (slot_address{worker_id(w), slot}));
        least = std::min(least, experts.size());
        most = std::max(most, experts.size());
        total += experts.size();
      }
      EXPECT_EQ(total, num_experts);
      EXPECT_LE(most - least, 1u) << num_experts << " on " << num_workers;
    }
}

// The published shapes of V3: two slots on each of 144 workers, nine on each
// of 32.
TEST(Placement, OfV3WithThirtyTwoSparesIsEven) {
  for (auto [num_workers, slots] : {std::pair{144u, 2u}, {32u, 9u}})
    for (uint32_t per_node : {8u, num_workers / 3, num_workers}) {
      SCOPED_TRACE(std::to_string(num_workers) + " workers, a node has "
                   + std::to_string(per_node));
      std::vector<node_id> nodes(num_workers);
      for (uint32_t w = 0; w < num_workers; ++w)
        nodes[w] = node_id(w / per_node);
      placement map{2, 256, num_workers, nodes, 0, 1, 32};
      EXPECT_EQ(map.num_slots(), slots);
      for (uint32_t w = 0; w < num_workers; ++w)
        EXPECT_EQ(map.experts_of(worker_id(w)).at(1).size(), slots);
      for (uint32_t expert = 0; expert < 256; ++expert) {
        auto all = map.replicas_of(1, expert);
        ASSERT_EQ(all.size(), expert < 32 ? 2u : 1u);
        if (all.size() < 2)
          continue;
        EXPECT_LT(all[0].at.worker, all[1].at.worker);
        EXPECT_EQ(nodes[all[0].at.worker] == nodes[all[1].at.worker],
                  per_node == num_workers);
      }
    }
}

TEST(Placement, ReplicasLieOnWorkersOfTheirOwnAndInTheirTurnAnswer) {
  for (uint32_t num_experts = 1; num_experts <= 12; ++num_experts)
    for (uint32_t num_workers = 2; num_workers <= 9; ++num_workers)
      for (uint32_t spares = 0; spares <= num_experts * (num_workers - 1);
           ++spares) {
        if (num_workers > num_experts + spares)
          continue;
        std::vector<node_id> nodes(num_workers);
        for (uint32_t w = 0; w < num_workers; ++w)
          nodes[w] = node_id(w * 2 % num_workers / 4); // not in order
        placement map{1, num_experts, num_workers, nodes, 0, 1, spares};
        size_t least = SIZE_MAX, most = 0;
        std::map<node_id, std::vector<uint32_t>> on_node;
        for (uint32_t w = 0; w < num_workers; ++w) {
          auto held = map.experts_of(worker_id(w)).at(0);
          least = std::min(least, held.size());
          most = std::max(most, held.size());
          EXPECT_EQ(std::set(held.begin(), held.end()).size(), held.size());
          auto& here = on_node[nodes[w]];
          here.insert(here.end(), held.begin(), held.end());
        }
        EXPECT_LE(most, least + 1);
        for (auto& [node, held] : on_node)
          EXPECT_EQ(std::set(held.begin(), held.end()).size(),
                    std::min<size_t>(held.size(), num_experts));
        for (uint32_t expert = 0; expert < num_experts; ++expert) {
          auto all = map.replicas_of(0, expert);
          auto more = spares / num_experts
                      + (expert < spares % num_experts ? 1 : 0);
          EXPECT_EQ(all.size(), 1 + more);
          for (uint32_t turn = 0; turn < 2 * all.size(); ++turn)
            EXPECT_EQ(map.choose(0, expert, turn), all[turn % all.size()].at);
        }
        ASSERT_FALSE(HasFailure())
          << num_experts << " on " << num_workers << " and " << spares;
      }
}

TEST(Dispatch, SendsARowOnceToANodeAndOnceToEachOfItsSlots) {
  auto map = spread(1, 4, {0, 0, 1, 1}); // expert e on worker e
  auto plan = plan_dispatch(map, 0, std::vector<int32_t>{1, 0, 3, 1}, 2);
  ASSERT_EQ(plan.slabs.size(), 2u);
  auto& near = plan.slabs[0];
  EXPECT_EQ(near.tokens, (std::vector<uint32_t>{0, 1}));
  ASSERT_EQ(near.sections.size(), 2u);
  EXPECT_EQ(near.sections[0].row, std::vector<uint32_t>{0});
  EXPECT_EQ(near.sections[1].row, (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(plan.slabs[1].tokens, std::vector<uint32_t>{1});
  EXPECT_EQ(plan.row_of, (std::vector<uint32_t>{1, 0, 3, 2}));
}

TEST(Dispatch, KeepsTheOrderOfTheBatchWithinASlot) {
  auto map = spread(1, 2, {0, 0});
  auto plan = plan_dispatch(map, 0, std::vector<int32_t>{1, 1, 1}, 1);
  EXPECT_EQ(plan.row_of, (std::vector<uint32_t>{0, 1, 2}));
}

TEST(Dispatch, OfMoreRowsThanAPieceHoldsGoesInPieces) {
  auto map = spread(1, 4, {0, 0, 1, 1}); // expert e on worker e
  auto plan = plan_dispatch(map, 0, std::vector<int32_t>{1, 0, 3, 1}, 2, 1);
  ASSERT_EQ(plan.slabs.size(), 3u);
  EXPECT_EQ(plan.slabs[0].tokens, std::vector<uint32_t>{0});
  EXPECT_EQ(plan.slabs[1].tokens, std::vector<uint32_t>{1});
  EXPECT_EQ(plan.slabs[2].tokens, std::vector<uint32_t>{1});
  EXPECT_EQ(plan.slabs[1].first, 2u);
  EXPECT_EQ(plan.slabs[2].first, 3u);
  ASSERT_EQ(plan.workers.size(), 4u); // 0 and 1, then 1 and 3
  EXPECT_EQ(plan.workers[2].worker, 1);
  EXPECT_EQ(plan.row_of, (std::vector<uint32_t>{1, 0, 3, 2}));
}

TEST(Dispatch, OfNothingIsEmpty) {
  auto plan = plan_dispatch(spread(1, 2, {0, 1}), 0, {}, 2);
  EXPECT_TRUE(plan.slabs.empty());
  EXPECT_TRUE(plan.workers.empty());
}

TEST(Dispatch, LandsEveryChoiceOfRandomRoutesExactlyOnce) {
  for (uint32_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    uint32_t num_experts = random() % 40 + 1;
    uint32_t num_workers = random() % num_experts + 1;
    uint32_t top_k = random() % std::min(num_experts, 9u) + 1;
    std::vector<node_id> nodes(num_workers);
    for (uint32_t w = 1; w < num_workers; ++w)
      nodes[w] = node_id(nodes[w - 1] + random() % 3 / 2 * (random() % 2 + 1));
    auto spares = num_workers == 1 ? 0 : random() % num_experts;
    placement map{3, num_experts, num_workers, nodes, 0, 1, uint32_t(spares)};
    auto layer = uint32_t(random() % 3);
    auto rank = rank_id(random() % 4);
    auto experts = random_routes(random, uint32_t(random() % 50), num_experts,
                                 top_k);
    auto plan = plan_dispatch(map, layer, experts, top_k, UINT32_MAX, rank);
    check_order(map, plan);
    check_landing(map, layer, experts, top_k, plan, rank);
    check_whole(plan);
    auto max_rows = uint32_t(random() % 12 + 1);
    auto cut = plan_dispatch(map, layer, experts, top_k, max_rows, rank);
    check_order(map, cut);
    check_landing(map, layer, experts, top_k, cut, rank);
    check_pieces(cut, max_rows);
    if (HasFailure())
      return;
  }
}

TEST(Placement, WithoutANodeOthersAnswerOrNobody) {
  // Two workers on each of three nodes; of 6 experts the first 3 twice.
  placement all{2, 6, 6, {0, 0, 1, 1, 2, 2}, 0, 1, 3};
  for (node_id gone = 0; gone < 3; ++gone) {
    auto rest = all.without({gone});
    auto can = true;
    for (uint32_t e = 0; e < 6; ++e) {
      auto here = [&](auto& x) { return all.node_of(x.at.worker) == gone; };
      can = can && !std::ranges::all_of(all.replicas_of(0, e), here);
    }
    ASSERT_EQ(rest.has_value(), can) << "node " << gone;
    for (uint32_t e = 0; rest && e < 6; ++e)
      for (uint32_t turn = 0; turn < 4; ++turn) {
        auto at = rest->choose(1, e, turn);
        EXPECT_NE(rest->node_of(at.worker), gone);
        EXPECT_EQ(all.experts_of(at.worker)[1][at.slot], e);
      }
  }
  placement twice{1, 4, 2, {0, 1}, 0, 1, 4};
  EXPECT_TRUE(twice.without({0}));
  EXPECT_TRUE(twice.without({1}));
  EXPECT_FALSE(twice.without({0, 1}));
  EXPECT_EQ(twice.without({0})->epoch(), twice.epoch());
}

/// Of twelve slots the two workers of nodes that are there have nine.
TEST(Placement, WorkersOfNodesThatComeLaterHaveFurtherReplicas) {
  placement map{2, 8, 4, {0, 1, 0, 2}, 0, 1, 4, 1, {}, {1}};
  EXPECT_EQ(map.left_by({1}).num_waiting(), 0u);
  EXPECT_EQ(map.experts_of(0)[1], (std::vector<uint32_t>{0, 1, 2}));
  EXPECT_EQ(map.experts_of(2)[1], (std::vector<uint32_t>{3, 4, 5}));
  EXPECT_EQ(map.experts_of(3)[1], (std::vector<uint32_t>{6, 7, 0}));
  EXPECT_EQ(map.experts_of(1)[1], (std::vector<uint32_t>{1, 2, 3}));
  for (worker_id w = 0; w < 4; ++w)
    EXPECT_EQ(map.slots_of(w), 4u);
}
