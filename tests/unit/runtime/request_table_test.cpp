#include "runtime/cluster/request_table.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

using namespace troupe;

namespace {

using verdict = request_table::verdict;
using ids = std::vector<request_id>;

generation_event tokens(uint32_t first_position, uint32_t count) {
  generation_event out;
  out.first_position = first_position;
  out.tokens.resize(count);
  return out;
}

generation_event end(uint32_t first_position, uint32_t count = 0) {
  auto out = tokens(first_position, count);
  out.finish = finish_reason::length;
  return out;
}

} // namespace

TEST(RequestTable, ChoosesTheRankWithTheFewestRequestsAndTheLowestOfThose) {
  request_table table{3};
  std::vector<rank_id> chosen;
  for (request_id id = 1; id <= 4; ++id)
    chosen.push_back(table.accept(id, {0, 1, 2}).rank);
  EXPECT_EQ(chosen, (std::vector<rank_id>{0, 1, 2, 0}));
  table.remove(2);
  EXPECT_EQ(table.accept(5, {0, 1, 2}).rank, 1);
  table.commit(3, 1, end(0));
  EXPECT_EQ(table.accept(6, {2, 1, 0}).rank, 2);
}

TEST(RequestTable, ChoosesOnlyAmongUsableRanks) {
  request_table table{3};
  for (request_id id = 1; id <= 3; ++id)
    EXPECT_EQ(table.accept(id, {2}).rank, 2);
  EXPECT_EQ(table.accept(4, {1, 2}).rank, 1);
  EXPECT_EQ(table.requests_of(2), (ids{1, 2, 3}));
  EXPECT_EQ(table.all(), (ids{1, 2, 3, 4}));
}

TEST(RequestTable, CommitsPositionsInOrder) {
  request_table table{1};
  auto term = table.accept(1, {0}).term;
  EXPECT_EQ(table.commit(1, term, tokens(0, 1)), verdict::committed);
  EXPECT_EQ(table.commit(1, term, tokens(1, 3)), verdict::committed);
  EXPECT_EQ(table.commit(1, term, end(4)), verdict::committed);
  EXPECT_EQ(table.all().size(), 0u);
}

TEST(RequestTable, RefusesWhatIsStaleRepeatedOrAhead) {
  request_table table{1};
  auto term = table.accept(1, {0}).term;
  table.commit(1, term, tokens(0, 2));
  EXPECT_EQ(table.commit(1, term - 1, tokens(2, 1)), verdict::refused);
  EXPECT_EQ(table.commit(1, term + 1, tokens(2, 1)), verdict::refused);
  for (uint32_t position : {0u, 1u, 3u}) {
    auto want = position == 3 ? verdict::gap : verdict::refused;
    EXPECT_EQ(table.commit(1, term, tokens(position, 1)), want);
    EXPECT_EQ(table.commit(1, term, end(position)), want);
  }
  EXPECT_EQ(table.commit(1, term, tokens(2, 1)), verdict::committed)
    << "what is refused changes nothing";
}

TEST(RequestTable, KnowsNothingOfARequestThatHasEnded) {
  request_table table{2};
  auto owner = table.accept(1, {1});
  EXPECT_EQ(table.remove(1)->rank, 1);
  EXPECT_FALSE(table.remove(1).has_value());
  EXPECT_EQ(table.commit(1, owner.term, tokens(0, 1)), verdict::unknown);
  EXPECT_TRUE(table.requests_of(1).empty());
}

TEST(RequestTable, NeverAcceptsAnIdTwiceAtATime) {
  request_table table{1};
  table.accept(1, {0});
  EXPECT_DEATH(table.accept(1, {0}), "");
  EXPECT_DEATH(table.accept(2, {}), "");
}

TEST(RequestTable, AgreesWithAPlainCountOverRandomEvents) {
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    request_table table{4};
    std::map<request_id, rank_id> open;
    std::map<rank_id, int> load;
    for (request_id id = 1; id <= 200; ++id) {
      auto owner = table.accept(id, {0, 1, 2, 3});
      for (rank_id r = 0; r < 4; ++r)
        EXPECT_LE(load[owner.rank], load[r] - (r < owner.rank));
      open[id] = owner.rank;
      ++load[owner.rank];
      if (random() % 2 == 0)
        continue;
      auto i = std::next(open.begin(), long(random() % open.size()));
      if (random() % 2)
        EXPECT_EQ(table.remove(i->first)->rank, i->second);
      else
        EXPECT_EQ(table.commit(i->first, 1, end(0)), verdict::committed);
      --load[i->second];
      open.erase(i);
    }
    EXPECT_EQ(table.all().size(), open.size());
    for (rank_id r = 0; r < 4; ++r)
      EXPECT_EQ(table.requests_of(r).size(), size_t(load[r]));
  }
}
