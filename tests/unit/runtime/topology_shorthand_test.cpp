#include "runtime/topology_shorthand.hpp"

#include <gtest/gtest.h>

#include <numeric>

using namespace troupe;

namespace {

std::vector<uint32_t> numbers(uint32_t first, uint32_t count) {
  std::vector<uint32_t> out(count);
  std::iota(out.begin(), out.end(), first);
  return out;
}

std::vector<topology_unit> units_of(const std::string& text,
                                    const std::string& prefill = "dep1",
                                    const std::string& decode = "dep1") {
  auto out = parse_shorthand(text, prefill, decode);
  EXPECT_TRUE(out) << out.why().message;
  return out ? *out : std::vector<topology_unit>{};
}

} // namespace

TEST(TopologyShorthand, IsAWordAndNoFile) {
  for (auto text : {"dep1", "dep144", "1P1D", "4P18D"})
    EXPECT_TRUE(is_shorthand(text)) << text;
  for (auto text :
       {"", "dep", "dep0", "dep01", "dep4 ", "./dep4", "dep4.toml", "dep-1",
        "4P", "1D", "4P0D", "P1D", "4P1D.toml", "4p1d", "dep99999999999"})
    EXPECT_FALSE(is_shorthand(text)) << text;
}

TEST(TopologyShorthand, DepIsAsManyRanksAsWorkers) {
  EXPECT_EQ(units_of("dep144"),
            (std::vector{topology_unit{"main", unit_role::both, numbers(0, 144),
                                       numbers(0, 144)}}));
}

TEST(TopologyShorthand, PrefillAndDecodeUnitsHaveSizesOfTheirOwn) {
  auto all = units_of("2P1D", "dep3", "dep4");
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0], (topology_unit{"prefill-0", unit_role::prefill,
                                   numbers(0, 3), numbers(0, 3)}));
  EXPECT_EQ(all[1].name, "prefill-1");
  EXPECT_EQ(all[1].ranks, numbers(3, 3));
  EXPECT_EQ(all[2], (topology_unit{"decode-0", unit_role::decode, numbers(6, 4),
                                   numbers(6, 4)}));
}

TEST(TopologyShorthand, RefusesSizesThatAreNone) {
  for (auto& [prefill, decode] :
       {std::pair{"4", "dep1"}, {"dep1", "dep0"}, {"dep1", "2P1D"}})
    EXPECT_FALSE(parse_shorthand("1P1D", prefill, decode));
  for (auto text : {"dep4097", "4000P97D"}) {
    auto many = parse_shorthand(text, "dep1", "dep1");
    ASSERT_FALSE(many) << text;
    EXPECT_NE(many.why().message.find("there may be 4096"), std::string::npos);
  }
  EXPECT_TRUE(parse_shorthand("4000P96D", "dep1", "dep1"));
}

TEST(TopologyShorthand, SpreadsPartsEvenlyBehindAFront) {
  auto x = spread(units_of("dep32"), 4);
  ASSERT_TRUE(validate(x));
  ASSERT_EQ(x.nodes.size(), 4u);
  EXPECT_TRUE(x.nodes[0].gateway && x.nodes[0].ranks.empty());
  EXPECT_EQ(x.nodes[1].ranks, numbers(0, 11));
  EXPECT_EQ(x.nodes[2].workers, numbers(11, 11));
  EXPECT_EQ(x.nodes[3].ranks, numbers(22, 10));
}

TEST(TopologyShorthand, SpreadIsValidForEveryNumberOfNodes) {
  for (auto text : {"dep1", "dep3", "dep9", "2P1D"})
    for (uint32_t n = 1; n <= 12; ++n) {
      auto x = spread(units_of(text, "dep2", "dep3"), n);
      auto ok = validate(x);
      ASSERT_TRUE(ok) << text << " " << n << " " << ok.why().message;
      EXPECT_LE(x.nodes.size(), n);
      EXPECT_EQ(x.num_ranks(), x.num_workers());
    }
}
