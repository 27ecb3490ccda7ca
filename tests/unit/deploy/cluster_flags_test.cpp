#include "deploy/cluster_flags.hpp"

#include "tests/places.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

struct parsed {
  cluster_flags flags;
  bool is_taken = false;
};

parsed parse(std::vector<std::string> arguments) {
  parsed out;
  CLI::App app;
  out.flags.add_to(app);
  std::ranges::reverse(arguments); // as CLI11 wants them
  arguments.push_back("model");
  try {
    app.parse(arguments);
    out.is_taken = true;
  } catch (const CLI::ParseError&) {
    // not taken
  }
  return out;
}

std::string complaint_about(std::vector<std::string> arguments) {
  auto x = parse(std::move(arguments));
  EXPECT_TRUE(x.is_taken);
  auto cluster = x.flags.cluster();
  return cluster ? "" : cluster.why().message;
}

} // namespace

TEST(ClusterFlags, TakeAWordForAShapeWithNodesAndRedundantExperts) {
  auto x = parse(
    {"--topology", "dep32", "--nodes", "4", "--num-redundant-experts", "16"});
  ASSERT_TRUE(x.is_taken);
  auto cluster = x.flags.cluster();
  ASSERT_TRUE(cluster) << cluster.why().message;
  EXPECT_EQ(cluster->nodes.size(), 4u);
  EXPECT_EQ(cluster->num_ranks(), 32u);
  ASSERT_EQ(cluster->units.size(), 1u);
  EXPECT_EQ(cluster->units[0].num_redundant_experts, 16u);
  EXPECT_NE(x.flags.replayed().find("--topology dep32 --nodes 4 "
                                    "--num-redundant-experts 16"),
            std::string::npos)
    << x.flags.replayed();
}

TEST(ClusterFlags, GiveRedundantExpertsToWhateverShapeThereIs) {
  auto x = parse({"--expert-parallel-size", "4", "--num-redundant-experts", "3",
                  "--spare-expert-slots", "2"});
  ASSERT_TRUE(x.is_taken);
  EXPECT_NE(x.flags.replayed().find("--num-redundant-experts 3 "
                                    "--spare-expert-slots 2"),
            std::string::npos)
    << x.flags.replayed();
  auto cluster = x.flags.cluster();
  ASSERT_TRUE(cluster) << cluster.why().message;
  EXPECT_EQ(cluster->all_units()[0].num_redundant_experts, 3u);
  EXPECT_EQ(cluster->all_units()[0].spare_expert_slots, 2u);
  EXPECT_EQ(cluster->all_units()[0].workers.size(), 4u);
}

TEST(ClusterFlags, SizeTheUnitsThatPrefillAndDecode) {
  auto x = parse({"--topology", "2P1D", "--decode-unit", "dep4"});
  ASSERT_TRUE(x.is_taken);
  auto cluster = x.flags.cluster();
  ASSERT_TRUE(cluster) << cluster.why().message;
  ASSERT_EQ(cluster->units.size(), 3u);
  EXPECT_EQ(cluster->units[1].ranks.size(), 1u);
  EXPECT_EQ(cluster->units[2].ranks.size(), 4u);
}

TEST(ClusterFlags, KeepNothingOfACacheThatForgets) {
  cluster_flags x;
  x.model = "model";
  x.prefix_caching = "off";
  EXPECT_TRUE(x.cluster());
  x.kv_cache.host_gb = 1;
  EXPECT_EQ(x.cluster().why().message,
            "--kv-cache-host-gb goes with --prefix-caching on");
  x.kv_cache.dir = "kv";
  EXPECT_EQ(x.cluster().why().message,
            "--kv-cache-dir goes with --prefix-caching on");
  x.prefix_caching = "on";
  EXPECT_TRUE(x.cluster());
}

TEST(ClusterFlags, SayWhatDoesNotGoTogether) {
  auto file = (source_dir() / "examples/topologies/four_nodes.toml").string();
  EXPECT_NE(complaint_about({"--topology", file, "--nodes", "2"})
              .find("--nodes excludes a --topology that is a file"),
            std::string::npos);
  EXPECT_NE(complaint_about({"--topology", "dep2", "--prefill-unit", "dep2"})
              .find("go with a --topology of the form xPyD"),
            std::string::npos);
  EXPECT_NE(complaint_about({"--topology", "1P1D", "--prefill-unit", "4"})
              .find("4 is no size of a unit"),
            std::string::npos);
  for (auto more : {"--data-parallel-size", "--expert-parallel-size"})
    EXPECT_FALSE(parse({"--topology", "dep2", more, "2"}).is_taken) << more;
}
