#include "runtime/pipeline/stage_table.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

model_config config_of(uint32_t num_layers, uint32_t num_dense) {
  model_config out;
  out.num_hidden_layers = num_layers;
  out.first_k_dense_replace = num_dense;
  out.n_routed_experts = 8;
  return out;
}

std::vector<stage> stages_of(const stage_table& table) {
  std::vector<stage> out;
  for (uint32_t i = 0; i < table.size(); ++i)
    out.push_back(table[i].what);
  return out;
}

using enum stage;

} // namespace

TEST(StageTable, ListsTheStagesOfAllLayersInOrder) {
  stage_table table{config_of(3, 1)};
  EXPECT_EQ(stages_of(table),
            (std::vector<stage>{prepare, attention, dense_mlp, //
                                prepare, attention, route,     //
                                dispatch, shared_expert,       //
                                combine,                       //
                                prepare, attention, route,     //
                                dispatch, shared_expert,       //
                                combine,                       //
                                head, end}));
  EXPECT_EQ(table[2].layer, 0u);
  EXPECT_EQ(table[6].layer, 1u);
  EXPECT_EQ(table[14].layer, 2u);
}

TEST(StageTable, HaltsWhereSomebodyElseHasToWork) {
  stage_table table{config_of(3, 1)};
  std::vector<uint32_t> halts;
  for (uint32_t i = 0; i < table.size(); i = halts.back() + 1)
    halts.push_back(table.next_wait(i));
  EXPECT_EQ(halts, (std::vector<uint32_t>{6, 8, 12, 14, 16}));
  for (uint32_t i : {6u, 12u, 16u})
    EXPECT_EQ(table[i].wait, stage_wait::host);
  for (uint32_t i : {8u, 14u})
    EXPECT_EQ(table[i].wait, stage_wait::rows);
}

TEST(StageTable, OfAModelWithoutExpertsHaltsAtItsEndAlone) {
  stage_table table{config_of(2, 2)};
  EXPECT_EQ(table.size(), 8u);
  EXPECT_EQ(table.next_wait(0), 7u);
  EXPECT_EQ(table[7].what, end);
}
