#include "runtime/cluster/request_journal.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

using namespace troupe;

namespace {

using verdict = request_journal::verdict;
using ids = std::vector<request_id>;

std::shared_ptr<const generation_request> asked() {
  return std::make_shared<generation_request>();
}

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

TEST(RequestJournal, ChoosesTheRankWithTheFewestRequestsAndTheLowestOfThose) {
  request_journal journal{3};
  std::vector<rank_id> chosen;
  for (request_id id = 1; id <= 4; ++id)
    chosen.push_back(journal.accept(id, asked(), {0, 1, 2}).rank);
  EXPECT_EQ(chosen, (std::vector<rank_id>{0, 1, 2, 0}));
  journal.remove(2);
  EXPECT_EQ(journal.accept(5, asked(), {0, 1, 2}).rank, 1);
  journal.commit(3, 1, end(0));
  EXPECT_EQ(journal.accept(6, asked(), {2, 1, 0}).rank, 2);
}

TEST(RequestJournal, ChoosesOnlyAmongUsableRanks) {
  request_journal journal{3};
  for (request_id id = 1; id <= 3; ++id)
    EXPECT_EQ(journal.accept(id, asked(), {2}).rank, 2);
  EXPECT_EQ(journal.accept(4, asked(), {1, 2}).rank, 1);
  EXPECT_EQ(journal.requests_of(2), (ids{1, 2, 3}));
  EXPECT_EQ(journal.all(), (ids{1, 2, 3, 4}));
}

TEST(RequestJournal, CommitsPositionsInOrder) {
  request_journal journal{1};
  auto term = journal.accept(1, asked(), {0}).term;
  EXPECT_EQ(journal.commit(1, term, tokens(0, 1)), verdict::committed);
  EXPECT_EQ(journal.commit(1, term, tokens(1, 3)), verdict::committed);
  EXPECT_EQ(journal.commit(1, term, end(4)), verdict::committed);
  EXPECT_EQ(journal.all().size(), 0u);
}

TEST(RequestJournal, RefusesWhatIsStaleRepeatedOrAhead) {
  request_journal journal{1};
  auto term = journal.accept(1, asked(), {0}).term;
  journal.commit(1, term, tokens(0, 2));
  EXPECT_EQ(journal.commit(1, term - 1, tokens(2, 1)), verdict::outdated);
  EXPECT_EQ(journal.commit(1, term + 1, tokens(2, 1)), verdict::refused);
  for (uint32_t position : {0u, 1u, 3u}) {
    auto want = position == 3 ? verdict::gap : verdict::refused;
    EXPECT_EQ(journal.commit(1, term, tokens(position, 1)), want);
    EXPECT_EQ(journal.commit(1, term, end(position)), want);
  }
  EXPECT_EQ(journal.commit(1, term, tokens(2, 1)), verdict::committed)
    << "what is refused changes nothing";
}

TEST(RequestJournal, ANewOwnerGoesOnWhereTheLastOneWas) {
  request_journal journal{3};
  journal.accept(1, asked(), {0});
  journal.accept(2, asked(), {1});
  auto first = tokens(0, 2);
  first.tokens = {7, 8};
  journal.commit(1, 1, first);
  auto owner = journal.raise(1, {1, 2});
  EXPECT_EQ(owner.rank, 2) << "rank 1 has one";
  EXPECT_EQ(owner.term, 2u);
  EXPECT_EQ(journal.answered(1), (std::vector<int32_t>{7, 8}));
  EXPECT_TRUE(journal.requests_of(0).empty());
  EXPECT_EQ(journal.requests_of(2), ids{1});
  EXPECT_EQ(journal.commit(1, 1, end(2, 1)), verdict::outdated);
  EXPECT_EQ(journal.commit(1, 2, tokens(0, 1)), verdict::refused);
  EXPECT_EQ(journal.commit(1, 2, end(2, 1)), verdict::committed);
  EXPECT_EQ(journal.accept(3, asked(), {0, 1, 2}).rank, 0);
  EXPECT_EQ(journal.accept(4, asked(), {1, 2}).rank, 2);
}

TEST(RequestJournal, ScoresOfAPromptAreToldOnceByWhomever) {
  request_journal journal{2};
  auto what = std::make_shared<generation_request>();
  what->prompt.resize(5);
  what->num_prompt_scores = 2;
  journal.accept(1, what, {0});
  auto scores = [](uint32_t first, uint32_t count) {
    generation_event out;
    out.first_scored = first;
    for (uint32_t i = 2 * first; i < 2 * (first + count); ++i)
      out.prompt_scores.push_back({int32_t(i), 0});
    return out;
  };
  EXPECT_FALSE(journal.may_repeat_scores(1));
  journal.commit(1, 1, scores(1, 2));
  EXPECT_FALSE(journal.may_repeat_scores(1)) << "it has its first owner";
  journal.raise(1, {1});
  ASSERT_TRUE(journal.may_repeat_scores(1));
  auto known = journal.without_known_scores(1, scores(1, 1));
  EXPECT_TRUE(known.prompt_scores.empty());
  auto part = journal.without_known_scores(1, scores(1, 3));
  EXPECT_EQ(part.first_scored, 3u);
  ASSERT_EQ(part.prompt_scores.size(), 2u);
  EXPECT_EQ(part.prompt_scores[0].id, 6);
  EXPECT_EQ(journal.commit(1, 2, part), verdict::committed);
  auto last = journal.without_known_scores(1, scores(4, 1));
  EXPECT_EQ(last.first_scored, 4u);
  EXPECT_EQ(last.prompt_scores.size(), 2u);
}

TEST(RequestJournal, ListsRequestsAsTheirRankHasGotThem) {
  request_journal journal{2};
  journal.accept(1, asked(), {0});
  journal.accept(2, asked(), {1});
  journal.accept(3, asked(), {1});
  journal.raise(1, {1});
  EXPECT_EQ(journal.requests_of(1), (ids{2, 3, 1}));
}

TEST(RequestJournal, CountsWhoDiedOfARequest) {
  request_journal journal{2};
  journal.accept(1, asked(), {0});
  EXPECT_EQ(journal.mark(1), 1u);
  journal.raise(1, {1});
  EXPECT_EQ(journal.mark(1), 2u);
}

TEST(RequestJournal, KnowsNothingOfARequestThatHasEnded) {
  request_journal journal{2};
  auto owner = journal.accept(1, asked(), {1});
  EXPECT_EQ(journal.remove(1)->rank, 1);
  EXPECT_FALSE(journal.remove(1).has_value());
  EXPECT_EQ(journal.commit(1, owner.term, tokens(0, 1)), verdict::unknown);
  EXPECT_TRUE(journal.requests_of(1).empty());
}

TEST(RequestJournal, NeverAcceptsAnIdTwiceAtATime) {
  request_journal journal{1};
  journal.accept(1, asked(), {0});
  EXPECT_DEATH(journal.accept(1, asked(), {0}), "");
  EXPECT_DEATH(journal.accept(2, asked(), {}), "");
}

TEST(RequestJournal, AgreesWithAPlainCountOverRandomEvents) {
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    request_journal journal{4};
    std::map<request_id, rank_id> open;
    std::map<rank_id, int> load;
    for (request_id id = 1; id <= 200; ++id) {
      auto owner = journal.accept(id, asked(), {0, 1, 2, 3});
      for (rank_id r = 0; r < 4; ++r)
        EXPECT_LE(load[owner.rank], load[r] - (r < owner.rank));
      open[id] = owner.rank;
      ++load[owner.rank];
      if (random() % 2 == 0)
        continue;
      auto i = std::next(open.begin(), long(random() % open.size()));
      if (random() % 2)
        EXPECT_EQ(journal.remove(i->first)->rank, i->second);
      else
        EXPECT_EQ(journal.commit(i->first, 1, end(0)), verdict::committed);
      --load[i->second];
      open.erase(i);
    }
    EXPECT_EQ(journal.all().size(), open.size());
    for (rank_id r = 0; r < 4; ++r)
      EXPECT_EQ(journal.requests_of(r).size(), size_t(load[r]));
  }
}

TEST(RequestJournal, WhoWaitsHasNoOwnerAndGoesOnWithTheNextTerm) {
  request_journal journal{2};
  journal.accept(1, asked(), {1});
  EXPECT_EQ(journal.commit(1, 1, tokens(0, 2)), verdict::committed);
  EXPECT_TRUE(journal.is_owned(1, 1));
  auto owner = journal.suspend(1);
  ASSERT_TRUE(owner);
  EXPECT_EQ(owner->rank, 1);
  EXPECT_FALSE(journal.suspend(1)) << "it waits already";
  EXPECT_FALSE(journal.is_owned(1, 1));
  EXPECT_EQ(journal.commit(1, 1, tokens(2, 1)), verdict::outdated);
  EXPECT_EQ(journal.commit(1, 2, tokens(2, 1)), verdict::refused);
  EXPECT_TRUE(journal.requests_of(1).empty());
  EXPECT_EQ(journal.waiting(), ids{1});
  EXPECT_EQ(journal.all(), ids{1});
  EXPECT_EQ(journal.accept(2, asked(), {0, 1}).rank, 0) << "nobody has any";
  EXPECT_EQ(journal.raise(1, {0, 1}).rank, 1);
  EXPECT_EQ(journal.commit(1, 2, tokens(2, 1)), verdict::committed);
  EXPECT_TRUE(journal.waiting().empty());
}

TEST(RequestJournal, WhoIsAcceptedWhileNobodyIsThereBeginsWithTheFirstTerm) {
  request_journal journal{1};
  journal.accept_waiting(1, asked());
  EXPECT_FALSE(journal.suspend(1));
  EXPECT_EQ(journal.raise(1, {0}).term, 1u);
  journal.accept_waiting(2, asked());
  EXPECT_FALSE(journal.remove(2)) << "nobody has to be told";
  EXPECT_EQ(journal.all(), ids{1});
}

TEST(RequestJournal, CountsWhatARankIsToGoOnWith) {
  request_journal journal{3};
  EXPECT_EQ(journal.accept(1, asked(), {0}).rank, 0);
  EXPECT_EQ(journal.next_of(1), std::nullopt);
  EXPECT_EQ(journal.plan_next(1, {1, 2}).next, rank_id{1});
  EXPECT_EQ(journal.next_of(1), rank_id{1});
  journal.accept(2, asked(), {0});
  EXPECT_EQ(journal.plan_next(2, {1, 2}).next, rank_id{2}) << "1 has one";
  journal.accept(3, asked(), {0});
  EXPECT_EQ(journal.plan_next(3, {}).next, std::nullopt);
  EXPECT_EQ(journal.accept(4, asked(), {0, 1, 2}).rank, 1);
  EXPECT_EQ(journal.requests_of(1), ids{4}) << "it has no other yet";
}

TEST(RequestJournal, PassesARequestOnToWhoWasToHaveIt) {
  request_journal journal{3};
  journal.accept(1, asked(), {0});
  journal.plan_next(1, {2});
  journal.commit(1, 1, tokens(0, 1));
  auto to = journal.pass_on(1, {1, 2});
  EXPECT_EQ(to.rank, 2);
  EXPECT_EQ(to.term, 2u);
  EXPECT_EQ(to.next, std::nullopt);
  EXPECT_EQ(journal.commit(1, 1, tokens(1, 1)), verdict::outdated);
  EXPECT_EQ(journal.commit(1, 2, tokens(1, 1)), verdict::committed);
  journal.remove(1);
  journal.accept(2, asked(), {0});
  journal.plan_next(2, {2});
  EXPECT_EQ(journal.pass_on(2, {1}).rank, 1) << "that one is lost";
  EXPECT_EQ(journal.accept(3, asked(), {0, 2}).rank, 0) << "nobody counts";
}

TEST(RequestJournal, ForgetsWhoWasToHaveARequestThatIsTakenAway) {
  request_journal journal{2};
  journal.accept(1, asked(), {0});
  journal.plan_next(1, {1});
  EXPECT_EQ(journal.suspend(1)->next, rank_id{1});
  EXPECT_EQ(journal.next_of(1), std::nullopt);
  EXPECT_EQ(journal.raise(1, {0}).next, std::nullopt);
  journal.plan_next(1, {1});
  EXPECT_EQ(journal.remove(1)->next, rank_id{1});
  EXPECT_EQ(journal.accept(2, asked(), {1, 0}).rank, 0) << "both have none";
}
