#include "deploy/running_company.hpp"

#include <gtest/gtest.h>

TEST(RunningCompany, HasNoLongerContextThanItsModelUnlessToldTo) {
  troupe::cluster_flags flags;
  troupe::model_config config;
  config.max_position_embeddings = 512;
  troupe::topology cluster;
  for (auto [wanted, length] : {std::pair{4096u, 512u}, {256u, 256u}}) {
    cluster.max_model_len = wanted;
    limit_context(flags, config, cluster);
    EXPECT_EQ(cluster.max_model_len, length);
  }
  flags.max_model_len = cluster.max_model_len = 1024;
  limit_context(flags, config, cluster);
  EXPECT_EQ(cluster.max_model_len, 1024u);
}
