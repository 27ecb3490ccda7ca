#include "runtime/meeting/meeting_rules.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <set>

using namespace troupe;

namespace {

using course = meeting_rules::course;

constexpr uint64_t self = 50;
constexpr node_id left = 1, right = 2;

node_identity who(std::string name, uint64_t incarnation) {
  return {std::move(name), incarnation, 0, {}};
}

} // namespace

TEST(MeetingRules, TakeMembersThatComeAndMembersThatAreDialled) {
  meeting_rules rules{self};
  EXPECT_EQ(rules.proven(1, left, who("left", 7)).what, course::take);
  EXPECT_EQ(rules.met(2, right, who("right", 8)).what, course::take);
  EXPECT_EQ(rules.welcomed(2).what, course::take);
}

TEST(MeetingRules, ALivingProcessKeepsItsPlace) {
  meeting_rules rules{self};
  rules.proven(1, left, who("left", 7));
  auto second = rules.proven(2, left, who("left", 9));
  EXPECT_EQ(second.what, course::refuse);
  EXPECT_EQ(second.why,
            "node left is here already, as another process; it stays");
  EXPECT_FALSE(second.gives_way);
  EXPECT_EQ(rules.met(3, left, who("left", 9)).what, course::refuse);
}

TEST(MeetingRules, TheSuccessorOfADeadProcessIsTakenAndTheDeadOneIsNot) {
  meeting_rules rules{self};
  rules.proven(1, left, who("left", 7));
  rules.ended(1, true);
  auto ghost = rules.proven(2, left, who("left", 7));
  EXPECT_EQ(ghost.what, course::refuse);
  EXPECT_EQ(ghost.why, "this process was given up; only a new one can join");
  EXPECT_EQ(rules.met(3, left, who("left", 7)).what, course::refuse);
  EXPECT_EQ(rules.proven(4, left, who("left", 9)).what, course::take);
}

TEST(MeetingRules, WhoIsGivenUpLosesItsPlaceAtOnce) {
  meeting_rules rules{self};
  rules.proven(1, left, who("left", 7));
  rules.given_up(1);
  EXPECT_TRUE(rules.is_over(7));
  EXPECT_EQ(rules.proven(2, left, who("left", 7)).why,
            "this process was given up; only a new one can join");
  EXPECT_EQ(rules.proven(3, left, who("left", 9)).what, course::take);
  rules.ended(1, true); // The line itself ends a moment later.
  EXPECT_EQ(rules.proven(4, left, who("left", 10)).what, course::refuse);
}

TEST(MeetingRules, WhoFailedToJoinMayTryAgain) {
  meeting_rules rules{self};
  rules.proven(1, left, who("left", 7));
  rules.ended(1, false);
  EXPECT_EQ(rules.proven(2, left, who("left", 7)).what, course::take);
}

TEST(MeetingRules, ALateEndDoesNotFreeThePlaceOfASuccessor) {
  meeting_rules rules{self};
  rules.proven(1, left, who("left", 7));
  rules.ended(1, true);
  rules.proven(2, left, who("left", 9));
  rules.ended(1, true);
  EXPECT_EQ(rules.proven(3, left, who("left", 10)).what, course::refuse);
}

TEST(MeetingRules, SayWhyTheClusterHasNoPlace) {
  meeting_rules rules{self};
  auto no = rules.proven(1, failure{errc::refused, "there is no place"},
                         who("stranger", 7));
  EXPECT_EQ(no.what, course::refuse);
  EXPECT_EQ(no.why, "there is no place");
}

TEST(MeetingRules, TheSameProcessConnectsOnce) {
  meeting_rules rules{self};
  rules.proven(1, left, who("left", 7));
  EXPECT_EQ(rules.proven(2, left, who("left", 7)).what, course::refuse);
  EXPECT_EQ(rules.met(3, left, who("left", 7)).what, course::drop);
  rules.met(4, right, who("right", 8));
  EXPECT_EQ(rules.met(5, right, who("right", 8)).what, course::drop);
}

TEST(MeetingRules, ADialGivesWayToWhoTookThePlaceMeanwhile) {
  meeting_rules rules{self};
  rules.met(1, left, who("left", 7));
  rules.proven(2, left, who("left", 9)); // A new process under that name.
  EXPECT_EQ(rules.welcomed(1).what, course::refuse);
}

// -- two processes that dial each other ---------------------------------------

namespace {

/// Two processes and the lines that each has dialled to the other, with every
/// message under way as an event that may come at any time.
class pair_of_processes {
public:
  /// Steps of a line, in order: met at its dialler, proven at the other side,
  /// welcomed at its dialler.
  struct dialled {
    int step = 0;
    bool is_alive = true; ///< Neither side has dropped it.
    bool is_taken[2] = {false, false};
  };

  /// What may happen next: the index of a line.
  std::vector<int> choices() const {
    std::vector<int> out;
    for (int i = 0; i < 2; ++i)
      if (lines[i].is_alive && lines[i].step < 3 && !left_alone.contains(i))
        out.push_back(i);
    return out;
  }

  void advance(int i) {
    auto dialler = i, other = 1 - i;
    switch (lines[i].step++) {
      case 0:
        return obey(dialler, i, rules[dialler].met(line_id(i), 0, id(other)));
      case 1:
        return obey(other, i,
                    rules[other].proven(line_id(i), node_id{0}, id(dialler)));
      default:
        return obey(dialler, i, rules[dialler].welcomed(line_id(i)));
    }
  }

  node_identity id(int side) const {
    return who("x", side == 0 ? 10 : 20);
  }

  void obey(int side, int line, const meeting_rules::decision& x) {
    auto step = lines[line].step;
    if (x.what == course::take && step > 1)
      lines[line].is_taken[side] = true;
    if (x.what == course::drop || x.what == course::refuse)
      drop(line);
    if (x.what == course::leave)
      left_alone.insert(line);
    if (x.gives_way)
      drop(int(*x.gives_way));
  }

  void drop(int line) {
    lines[line].is_alive = false;
    for (int side : {0, 1})
      rules[side].ended(line_id(line), lines[line].is_taken[side]);
  }

  meeting_rules rules[2] = {meeting_rules{10}, meeting_rules{20}};
  dialled lines[2];
  std::set<int> left_alone;
};

void explore(const pair_of_processes& now, const std::string& path,
             const std::function<void(const pair_of_processes&,
                                      const std::string&)>& at_end) {
  auto choices = now.choices();
  if (choices.empty())
    return at_end(now, path);
  for (auto i : choices) {
    auto next = now;
    next.advance(i);
    explore(next, path + std::to_string(i), at_end);
  }
}

} // namespace

TEST(MeetingRules, OfTwoDialsAtOnceExactlyOneLineStaysInEveryOrder) {
  size_t num_orders = 0;
  explore({}, "", [&](const pair_of_processes& x, const std::string& path) {
    ++num_orders;
    int num_joined = 0;
    for (auto& line : x.lines)
      num_joined += line.is_alive && line.is_taken[0] && line.is_taken[1];
    EXPECT_EQ(num_joined, 1) << "in the order " << path;
    for (auto& line : x.lines)
      if (!line.is_alive) {
        EXPECT_FALSE(line.is_taken[0] && line.is_taken[1]) << path;
      }
  });
  EXPECT_GT(num_orders, 5u);
}

TEST(MeetingRules, AProcessIsOneNode) {
  meeting_rules rules{self};
  rules.proven(1, left, who("left", 7));
  EXPECT_EQ(rules.proven(2, right, who("right", 7)).what, course::refuse);
  EXPECT_EQ(rules.met(3, right, who("right", 7)).what, course::refuse);
  EXPECT_EQ(rules.proven(4, right, who("right", self)).what, course::refuse)
    << "nor is anybody else us";
  EXPECT_EQ(rules.proven(5, right, who("right", 8)).what, course::take);
}
