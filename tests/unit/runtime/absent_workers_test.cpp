#include "runtime/cluster/absent_workers.hpp"

#include <gtest/gtest.h>

using namespace troupe;

using nodes = std::set<node_id>;

TEST(AbsentWorkers, AreThereAgainWithWhatTheFirstPlacementSays) {
  absent_workers all;
  EXPECT_TRUE(all.lost(2));
  EXPECT_FALSE(all.lost(2));
  EXPECT_TRUE(all.lost(3));
  EXPECT_FALSE(all.back(1)) << "it was never away";
  EXPECT_TRUE(all.back(2));
  EXPECT_EQ(all.nodes(), nodes{3});
  EXPECT_EQ(all.without_process(), nodes{3});
}

TEST(AbsentWorkers, AreNotTurnedToBeforeAPlacementThatKnowsThem) {
  absent_workers all;
  all.lost(2);
  all.placed(4);
  EXPECT_EQ(all.nodes(), nodes{2}) << "it is lost still";
  EXPECT_FALSE(all.back(2));
  EXPECT_EQ(all.nodes(), nodes{2});
  EXPECT_EQ(all.without_process(), nodes{});
  all.placed(4);
  EXPECT_EQ(all.nodes(), nodes{2});
  EXPECT_TRUE(all.lost(2)) << "and once more";
  all.placed(5);
  EXPECT_EQ(all.nodes(), nodes{2});
  all.back(2);
  all.placed(6);
  EXPECT_EQ(all.nodes(), nodes{});
}
