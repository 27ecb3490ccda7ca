#include "runtime/cluster/open_places.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

/// A front, a node with what every unit needs, and open places: two for one
/// worker, one for a rank and a worker.
class OpenPlaces : public testing::Test {
protected:
  OpenPlaces() {
    auto read = parse_topology(R"(
[[nodes]]
name = "front"
gateway = true
controller = true
[[nodes]]
name = "fixed"
ranks = 1
workers = 2
[[nodes]]
open = 2
workers = 1
[[nodes]]
open = true
ranks = 1
workers = 1
)",
                               "a test");
    EXPECT_TRUE(read) << read.why().message;
    cluster_ = *read;
  }

  static node_identity who(std::string name, uint64_t incarnation,
                           node_share brings = {}) {
    return {std::move(name), incarnation, 0, {}, std::move(brings)};
  }

  /// Node of one that comes and stays.
  node_id take(open_places& x, const std::string& name, uint64_t incarnation,
               const node_share& brings) {
    auto node = x.place_of(who(name, incarnation, brings));
    EXPECT_TRUE(node) << node.why().message;
    if (node)
      x.taken(*node, name, incarnation);
    return node ? *node : node_id{0};
  }

  static std::string refusal(open_places& x, const node_identity& who) {
    auto node = x.place_of(who);
    return node ? "none" : node.why().message;
  }

  topology cluster_;
  const node_share worker_{0, 1};
};

} // namespace

TEST_F(OpenPlaces, AreForWhoBringsWhatTheyAreOf) {
  open_places x{cluster_};
  EXPECT_EQ(take(x, "alice", 1, worker_), 2u);
  EXPECT_EQ(take(x, "bob", 2, {1, 1, "main"}), 4u);
  EXPECT_EQ(take(x, "carol", 3, {0, 1, "main"}), 3u);
  EXPECT_EQ(refusal(x, who("dave", 4, worker_)),
            "this cluster has no free place for node dave with 0 ranks and 1 "
            "worker");
  EXPECT_EQ(refusal(x, who("dave", 4, {1, 2, "main"})),
            "this cluster has no free place for node dave with 1 rank and 2 "
            "workers of unit main");
  EXPECT_EQ(refusal(x, who("dave", 4, {0, 1, "other"})),
            "this cluster has no unit other");
  EXPECT_EQ(refusal(x, who("dave", 4)),
            "the topology has no node named dave: who comes to an open place "
            "says what it brings (--ranks, --workers)");
}

/// The topology that everybody gets could not be read any more.
TEST_F(OpenPlaces, AreForWhoHasANameThatATopologyMayHave) {
  open_places x{cluster_};
  auto nul = std::string{"alice\0", 6};
  for (auto& name : {std::string{"gpu01.example.org"}, std::string{"Alice"},
                     std::string(64, 'a'), std::string{}, nul})
    EXPECT_EQ(refusal(x, who(name, 1, worker_)),
              "a node's name must be 1 to 63 of a-z, 0-9, '-' and '_'");
  EXPECT_EQ(take(x, "alice", 2, worker_), 2u);
}

TEST_F(OpenPlaces, WhoHasANameMayNotBringSomethingElse) {
  open_places x{cluster_};
  EXPECT_EQ(*x.place_of(who("fixed", 1)), 1u);
  EXPECT_EQ(*x.place_of(who("fixed", 1, {1, 2})), 1u);
  EXPECT_EQ(*x.place_of(who("fixed", 1, {0, 0, "main"})), 1u);
  EXPECT_EQ(refusal(x, who("fixed", 1, {1, 1})),
            "node fixed is of 1 rank and 2 workers here, and cannot come with "
            "1 rank and 1 worker");
  take(x, "alice", 2, worker_);
  EXPECT_NE(refusal(x, who("alice", 3, {1, 1})).find("cannot come"),
            std::string::npos);
}

TEST_F(OpenPlaces, WhoIsGoneComesBackToItsOwn) {
  open_places x{cluster_};
  take(x, "alice", 1, worker_);
  x.freed(2, 1, true, false);
  EXPECT_EQ(take(x, "bob", 2, worker_), 3u) << "never taken";
  EXPECT_EQ(take(x, "alice", 3, {}), 2u);
}

TEST_F(OpenPlaces, ThoseOfWhoIsGoneAreGivenToOthersInTheEnd) {
  open_places x{cluster_};
  take(x, "alice", 1, worker_);
  take(x, "bob", 2, worker_);
  x.freed(2, 1, true, false);
  x.freed(3, 2, true, true);
  EXPECT_EQ(take(x, "carol", 3, worker_), 3u) << "bob has left in peace";
  EXPECT_EQ(take(x, "dave", 4, worker_), 2u);
  EXPECT_NE(refusal(x, who("alice", 5, worker_)), "none");
  x.freed(2, 4, true, true);
  EXPECT_EQ(take(x, "alice", 5, worker_), 2u);
}

TEST_F(OpenPlaces, AreNotGivenToTwoAtOnceIfThereAreOthers) {
  open_places x{cluster_};
  auto alice = who("alice", 1, worker_), bob = who("bob", 2, worker_);
  EXPECT_EQ(*x.place_of(alice), 2u);
  EXPECT_EQ(*x.place_of(bob), 3u);
  EXPECT_EQ(*x.place_of(alice), 2u) << "it asks again";
  x.taken(3, "bob", 2);
  EXPECT_EQ(*x.place_of(who("carol", 3, worker_)), 2u)
    << "alice has not come so far";
  x.stayed_away(2, 1);
  EXPECT_EQ(*x.place_of(who("carol", 3, worker_)), 2u) << "it is carol's now";
}

/// Nobody has ever been there: that is better than the place of who is lost.
TEST_F(OpenPlaces, AreFreeAgainWhereWhoHasProvenItselfDoesNotCome) {
  open_places x{cluster_};
  take(x, "alice", 1, worker_);
  x.freed(2, 1, true, false);
  EXPECT_EQ(*x.place_of(who("bob", 2, worker_)), 3u);
  x.stayed_away(3, 2);
  EXPECT_EQ(*x.place_of(who("carol", 3, worker_)), 3u);
  x.taken(3, "carol", 3);
  x.stayed_away(3, 3);
  EXPECT_EQ(*x.place_of(who("dave", 4, worker_)), 2u) << "carol is there";
}

TEST_F(OpenPlaces, AreWhatTheyWereIfWhoCameWasNeverAMember) {
  open_places x{cluster_};
  take(x, "alice", 1, worker_);
  take(x, "bob", 2, worker_);
  EXPECT_EQ(x.freed(2, 1, true, false), "alice");
  EXPECT_EQ(take(x, "carol", 3, worker_), 2u);
  EXPECT_EQ(x.freed(2, 3, false, false), "alice");
  EXPECT_EQ(take(x, "alice", 4, {}), 2u) << "hers as before";
  take(x, "dave", 5, {1, 1});
  EXPECT_EQ(x.freed(4, 5, false, false), "place-4");
}

TEST_F(OpenPlaces, AreWhatTheyWereIfWhoIsRefusedHadWaitedForTheStart) {
  open_places x{cluster_, {2}};
  take(x, "alice", 1, worker_);
  x.freed(3, 1, true, false);
  take(x, "alice", 2, {});
  x.taken(3, "alice", 2);
  x.freed(3, 2, false, true);
  take(x, "bob", 3, {1, 1});
  x.taken(4, "bob", 3);
  EXPECT_EQ(x.freed(4, 3, false, false), "place-4");
}

TEST_F(OpenPlaces, WhoLeftInPeaceAndIsRefusedHasLeftInPeace) {
  open_places x{cluster_};
  take(x, "alice", 1, worker_);
  take(x, "bob", 2, worker_);
  x.freed(2, 1, true, false);
  x.freed(3, 2, true, true);
  take(x, "bob", 3, {});
  x.freed(3, 3, false, false);
  EXPECT_EQ(*x.place_of(who("carol", 4, worker_)), 3u);
}

/// She has been let in elsewhere, and is on her way.
TEST_F(OpenPlaces, HaveNoNameUnderWhichSomebodyIsComing) {
  open_places x{cluster_};
  take(x, "alice", 1, worker_);
  take(x, "bob", 2, worker_);
  x.freed(2, 1, true, false);
  x.freed(3, 2, true, false);
  EXPECT_EQ(take(x, "carol", 3, worker_), 2u);
  EXPECT_EQ(*x.place_of(who("alice", 4, worker_)), 3u);
  EXPECT_EQ(x.freed(2, 3, false, false), "carol");
}

TEST_F(OpenPlaces, TheLastOneIsTheFirstsWhoWantsIt) {
  open_places x{cluster_};
  EXPECT_EQ(*x.place_of(who("alice", 1, {1, 1})), 4u);
  EXPECT_EQ(*x.place_of(who("bob", 2, {1, 1})), 4u);
  x.stayed_away(4, 2);
  EXPECT_EQ(*x.place_of(who("alice", 1, {1, 1})), 4u);
  x.taken(4, "alice", 1);
  EXPECT_NE(refusal(x, who("bob", 2, {1, 1})), "none");
}

TEST_F(OpenPlaces, HaveNoNameThatSomebodyElseHasByThen) {
  open_places x{cluster_};
  take(x, "alice", 1, worker_);
  take(x, "bob", 2, worker_);
  x.freed(2, 1, true, false);
  EXPECT_EQ(take(x, "carol", 3, worker_), 2u);
  EXPECT_EQ(x.freed(3, 2, true, true), "bob");
  EXPECT_EQ(take(x, "alice", 4, worker_), 3u);
  EXPECT_EQ(x.freed(2, 3, false, false), "carol");
}

TEST_F(OpenPlaces, ALateWordOfAPredecessorFreesNothing) {
  open_places x{cluster_};
  take(x, "alice", 1, {1, 1});
  x.freed(4, 1, true, false);
  take(x, "alice", 2, {});
  x.freed(4, 1, true, false);
  EXPECT_NE(refusal(x, who("bob", 3, {1, 1})), "none");
}

TEST_F(OpenPlaces, AClusterWithoutAnyHasNoneForAStranger) {
  open_places x{local(4, 2, 4)};
  EXPECT_EQ(refusal(x, who("alice", 1, worker_)),
            "this cluster has no place for node alice");
}

TEST_F(OpenPlaces, KeepTheNamesThatTheyHad) {
  cluster_state kept;
  for (auto name : {"front", "fixed", "alice", "fixed", "No name"})
    kept.slots.push_back({name, 7, "", 0, member_state::absent, false});
  auto remembered = take_names(cluster_, kept);
  EXPECT_EQ(remembered, (std::set<node_id>{2}));
  EXPECT_EQ(cluster_.nodes[2].name, "alice");
  EXPECT_EQ(cluster_.nodes[3].name, "place-3");
  EXPECT_EQ(cluster_.nodes[4].name, "place-4");
  open_places x{cluster_, remembered};
  EXPECT_EQ(take(x, "bob", 1, worker_), 3u);
  EXPECT_EQ(take(x, "alice", 2, worker_), 2u);
  EXPECT_EQ(take_names(cluster_, kept), (std::set<node_id>{2}))
    << "also if the topology has it already";
  kept.slots[2] = {"carol", 0, "", 0, member_state::absent, false};
  EXPECT_TRUE(take_names(cluster_, kept).empty()) << "it has never come";
}

/// Another one stands in the middle now.
TEST_F(OpenPlaces, KeepTheirNamesWhereATopologyHasChanged) {
  cluster_state kept;
  kept.slots.resize(4);
  auto slot = [](std::string name, uint32_t num_ranks, bool is_open) {
    return cluster_state::slot{std::move(name),
                               7,
                               "",
                               0,
                               member_state::absent,
                               false,
                               {num_ranks, 1, {"main"}, is_open}};
  };
  kept.slots[1] = slot("gone", 1, false); // it was the topology's
  kept.slots[2] = slot("bob", 1, true);
  kept.slots[3] = slot("dave", 2, true);
  EXPECT_EQ(take_names(cluster_, kept), (std::set<node_id>{4}));
  EXPECT_EQ(cluster_.nodes[2].name, "place-2");
  EXPECT_EQ(cluster_.nodes[3].name, "place-3");
  EXPECT_EQ(cluster_.nodes[4].name, "bob");
}
