/// Every event in every state, and random walks.

#include "runtime/pipeline/step_walk.hpp"

#include "tests/dispatch_plans.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

using namespace troupe;

namespace {

using namespace std::chrono_literals;

constexpr uint32_t top_k = 2;
constexpr uint64_t row_bytes = 4;
constexpr rank_id rank = 3;

/// Three layers, the first without experts:
///
///    0 prepare   1 attention   2 dense_mlp
///    3 prepare   4 attention   5 route
///    6 dispatch  7 shared_expert
///    8 combine   9 prepare  10 attention  11 route
///   12 dispatch 13 shared_expert
///   14 combine  15 head
///   16 end
model_config small_config() {
  model_config out;
  out.num_hidden_layers = 3;
  out.first_k_dense_replace = 1;
  out.n_routed_experts = 4;
  return out;
}

std::string text_of(const walk_action& x) {
  using enum walk_action::kind;
  auto lane = x.lane == 0 ? "" : "lane " + std::to_string(x.lane) + " ";
  switch (x.what) {
    case run:
      return lane + "run " + std::to_string(x.first) + "-"
             + std::to_string(x.last);
    case notify:
      return lane + "notify";
    case dispatch:
      return lane + "dispatch";
    case land:
      return lane + "land";
    case end:
      return lane + "end";
    case fail:
      return lane + "fail";
  }
  return "?";
}

/// A walk whose owner is the test.
class walker {
public:
  explicit walker(uint8_t num_lanes = 1) {
    step_walk::settings x;
    x.rank = rank;
    x.node = 0;
    x.num_lanes = num_lanes;
    x.step_timeout = 100ms;
    walk_ = std::make_unique<step_walk>(x, table_, map_);
  }

  step_walk& walk() {
    return *walk_;
  }

  /// Remembers the serials that were given, and says what is to be done.
  std::string hear(const walk_actions& actions) {
    std::string out;
    for (auto& x : actions) {
      if (x.what == walk_action::kind::notify)
        serial_[x.lane] = x.serial;
      out += (out.empty() ? "" : ", ") + text_of(x);
    }
    return out.empty() ? "-" : out;
  }

  uint32_t serial(uint8_t lane = 0) const {
    return serial_[lane];
  }

  /// Four answers: two of worker 0 here, two of worker 1 on the other node.
  dispatch_plan plan() const {
    const std::vector<int32_t> experts = {0, 2, 1, 3};
    return plan_dispatch(map_, 0, experts, top_k);
  }

  /// Dispatches the plan.
  walk_actions dispatch(uint8_t lane = 0) {
    walk_->plan_of(lane) = plan();
    return walk_->dispatched(lane);
  }

  std::string answer(const answer_section& x, const dispatch_key& of) {
    return answer(x, of, map_.node_of(x.worker));
  }

  std::string answer(const answer_section& x, const dispatch_key& of,
                     node_id from) {
    auto head = answer_head(1);
    std::vector<std::byte> slab(head + x.count * row_bytes);
    write_answer_head(slab.data(), {&x, 1});
    return hear(walk_->rows(of, from, read_answers(slab, row_bytes)));
  }

  std::string answer(const answer_section& x) {
    return answer(x, walk_->key_of(0));
  }

private:
  model_config config_ = small_config();
  stage_table table_{config_};
  placement map_{2, 4, 2, {0, 1}};
  std::unique_ptr<step_walk> walk_;
  uint32_t serial_[4] = {};
};

const answer_section all_near{0, 0, 2};
const answer_section all_far{1, 2, 2};

// -- every event in every state -----------------------------------------------

enum state {
  idle,
  behind,
  computing,
  planning,
  crowded,
  away,
  ending,
  num_states
};

const char* const name_of_state[]
  = {"idle", "behind", "computing", "planning", "crowded", "away", "ending"};

/// Lane 0 in the state, on its way through the last layer but for `idle`; and
/// for `behind`, where it follows lane 1, which is not there yet.
std::unique_ptr<walker> in(state x) {
  auto out = std::make_unique<walker>(x == behind ? 2 : 1);
  auto& walk = out->walk();
  if (x == idle)
    return out;
  if (x == behind)
    out->hear(walk.begin(1));
  out->hear(walk.begin(0, x == behind ? 1 << 1 : 0));
  if (x == behind) {
    out->hear(walk.stage_ended(out->serial(), ""));
    out->hear(out->dispatch());
    out->answer(all_near);
    out->answer(all_far);
    return out;
  }
  if (x == computing)
    return out;
  out->hear(walk.stage_ended(out->serial(), ""));
  if (x == crowded)
    out->hear(walk.crowded(0));
  if (x == away || x == ending)
    out->hear(out->dispatch());
  if (x == ending) {
    out->answer(all_near);
    out->answer(all_far);
    out->hear(walk.stage_ended(out->serial(), ""));
    out->hear(out->dispatch());
    out->answer(all_near);
    out->answer(all_far);
  }
  return out;
}

struct event {
  const char* name;
  std::function<std::string(walker&)> happens;
};

std::string gone(walker& x, node_id node) {
  return x.hear(x.walk().peer_gone(node, "node b was lost"));
}

std::string tick(walker& x, clock::instant now, bool has_left) {
  return x.hear(
    x.walk().tick(now, [=](uint8_t, uint32_t) { return has_left; }));
}

const clock::instant start{};

dispatch_key another(walker& x) {
  auto out = x.walk().key_of(0);
  ++out.id.serial;
  return out;
}

const std::vector<event> events = {
  {"notice",
   [](walker& x) { return x.hear(x.walk().stage_ended(x.serial(), "")); }},
  {"bad notice",
   [](walker& x) { return x.hear(x.walk().stage_ended(x.serial(), "broke")); }},
  {"late notice",
   [](walker& x) {
     return x.hear(x.walk().stage_ended(x.serial() + 1, "broke"));
   }},
  {"some rows",
   [](walker& x) {
     return x.answer({0, 0, 1});
   }},
  {"other rows",
   [](walker& x) {
     return x.answer({0, 1, 1});
   }},
  {"no rows",
   [](walker& x) {
     return x.hear(x.walk().rows(x.walk().key_of(0), 0,
                                 failure{errc::invalid_input, "damaged"}));
   }},
  {"rows of another node",
   [](walker& x) { return x.answer(all_near, x.walk().key_of(0), 1); }},
  {"late rows", [](walker& x) { return x.answer(all_near, another(x)); }},
  {"refusal",
   [](walker& x) {
     return x.hear(
       x.walk().refused(x.walk().key_of(0), "worker 0", rows_fault::no_memory));
   }},
  {"late refusal",
   [](walker& x) {
     return x.hear(
       x.walk().refused(another(x), "worker 0", rows_fault::no_memory));
   }},
  {"debtor gone", [](walker& x) { return gone(x, 1); }},
  {"other gone", [](walker& x) { return gone(x, 7); }},
  {"tick", [](walker& x) { return tick(x, start, true); }},
  {"late tick",
   [](walker& x) {
     auto first = tick(x, start, true);
     if (first == "dispatch")
       x.hear(x.walk().crowded(0));
     return tick(x, start + 100ms, true);
   }},
  {"late tick, not left",
   [](walker& x) {
     auto first = tick(x, start, false);
     if (first == "dispatch")
       x.hear(x.walk().crowded(0));
     return tick(x, start + 1h, false);
   }},
};

/// [event][state]
const char* const expected[][num_states] = {
  // idle, behind, computing, planning, crowded, away, ending
  {"-", "-", "dispatch", "-", "-", "-", "end"}, // notice
  {"-", "fail, lane 1 fail", "fail", "fail", "fail", "fail",
   "fail"},                                   // bad notice
  {"-", "-", "-", "-", "-", "-", "-"},        // late notice
  {"-", "-", "-", "-", "-", "land", "-"},     // some rows
  {"-", "-", "-", "-", "-", "fail", "-"},     // other rows
  {"-", "-", "-", "-", "-", "fail", "-"},     // no rows
  {"-", "-", "-", "-", "-", "fail", "-"},     // rows of another node
  {"-", "-", "-", "-", "-", "-", "-"},        // late rows
  {"-", "-", "-", "-", "-", "fail", "-"},     // refusal
  {"-", "-", "-", "-", "-", "-", "-"},        // late refusal
  {"-", "-", "-", "-", "-", "fail", "-"},     // debtor gone
  {"-", "-", "-", "-", "-", "-", "-"},        // other gone
  {"-", "-", "-", "-", "dispatch", "-", "-"}, // tick
  {"-", "-", "-", "-", "fail", "fail", "-"},  // late tick
  {"-", "-", "-", "-", "fail", "-", "-"},     // late tick, not left
};

} // namespace

TEST(StepWalk, AnswersEveryEventInEveryState) {
  ASSERT_EQ(std::size(expected), events.size());
  for (size_t e = 0; e < events.size(); ++e)
    for (int s = 0; s < num_states; ++s) {
      auto x = in(state(s));
      EXPECT_EQ(events[e].happens(*x), expected[e][s])
        << events[e].name << " while " << name_of_state[s];
    }
}

TEST(StepWalk, GoesOnAfterAFailureInAnyState) {
  for (int s = 0; s < num_states; ++s) {
    auto x = in(state(s));
    x->hear(x->walk().fail(0, {errc::step_failed, "for a test"}));
    EXPECT_FALSE(x->walk().step_is_out(0));
    if (s != idle) {
      EXPECT_EQ(x->walk().cause(0).message, "for a test");
    }
    auto late = x->serial();
    EXPECT_EQ(x->hear(x->walk().begin(0)), "run 0-6, notify");
    EXPECT_EQ(x->hear(x->walk().stage_ended(late, "late")), "-");
    EXPECT_EQ(x->hear(x->walk().stage_ended(x->serial(), "")), "dispatch");
  }
}

TEST(StepWalk, BeginsNoStepInALaneWhereOneIsOut) {
  for (int s = behind; s < num_states; ++s) {
    auto x = in(state(s));
    EXPECT_DEATH(x->walk().begin(0), "idle") << name_of_state[s];
  }
}

// -- a step -------------------------------------------------------------------

TEST(StepWalk, WalksThroughAllLayers) {
  walker x;
  auto& walk = x.walk();
  EXPECT_EQ(x.hear(walk.begin(0)), "run 0-6, notify");
  EXPECT_EQ(walk.key_of(0).layer, 1u);
  EXPECT_EQ(x.hear(walk.stage_ended(x.serial(), "")), "dispatch");
  EXPECT_EQ(x.hear(x.dispatch()), "run 7-8");
  EXPECT_EQ(x.answer(all_far), "land");
  EXPECT_EQ(x.answer({0, 0, 1}), "land");
  EXPECT_EQ(x.answer({0, 1, 1}), "land, run 8-12, notify");
  EXPECT_EQ(walk.key_of(0).layer, 2u);
  EXPECT_EQ(x.hear(walk.stage_ended(x.serial(), "")), "dispatch");
  EXPECT_EQ(x.hear(x.dispatch()), "run 13-14");
  EXPECT_EQ(x.answer(all_near), "land");
  EXPECT_EQ(x.answer(all_far), "land, run 14-16, notify");
  EXPECT_TRUE(walk.step_is_out(0));
  EXPECT_EQ(x.hear(walk.stage_ended(x.serial(), "")), "end");
  EXPECT_FALSE(walk.step_is_out(0));
  EXPECT_EQ(walk.num_steps(), 1u);
  EXPECT_EQ(walk.step_of(0), 1u);
}

TEST(StepWalk, NamesWhoOwesRowsWhenTheyAreLate) {
  auto x = in(away);
  tick(*x, start, true);
  tick(*x, start + 100ms, true);
  EXPECT_EQ(x->walk().cause(0).code, errc::deadline_passed);
  EXPECT_EQ(x->walk().cause(0).message,
            "no rows came back in time from worker 1");
}

TEST(StepWalk, WaitsForItsOwnNodeAsLongAsItTakes) {
  auto x = in(away);
  x->answer(all_far);
  tick(*x, start, true);
  EXPECT_EQ(tick(*x, start + 1h, true), "-");
}

TEST(StepWalk, CountsTheTimeOfEveryDispatchAnew) {
  auto x = in(away);
  tick(*x, start, true);
  x->answer(all_near);
  x->answer(all_far);
  x->hear(x->walk().stage_ended(x->serial(), ""));
  x->hear(x->dispatch());
  EXPECT_EQ(tick(*x, start + 1h, true), "-");
  EXPECT_EQ(tick(*x, start + 1h + 100ms, true), "fail");
}

TEST(StepWalk, SendsNothingToANodeThatIsGone) {
  auto x = in(planning);
  x->walk().plan_of(0) = x->plan();
  EXPECT_FALSE(x->walk().obstacle(0));
  gone(*x, 1);
  auto why = x->walk().obstacle(0);
  ASSERT_TRUE(why);
  EXPECT_EQ(why->code, errc::peer_lost);
  EXPECT_EQ(why->message, "node b was lost");
}

TEST(StepWalk, RepeatsWhatItsRowsCarry) {
  auto x = in(planning);
  auto of = x->walk().key_of(0);
  EXPECT_EQ(of, (dispatch_key{{rank, 0, x->serial()}, 1, 1, 1}));
}

// -- lanes --------------------------------------------------------------------

TEST(StepWalk, EndsEachLaneByItself) {
  walker x{2};
  auto& walk = x.walk();
  EXPECT_EQ(x.hear(walk.begin(0)), "run 0-6, notify");
  EXPECT_EQ(x.hear(walk.begin(1)), "lane 1 run 0-6, lane 1 notify");
  EXPECT_EQ(walk.num_steps(), 2u);
  for (int layer = 1; layer < 3; ++layer)
    for (uint8_t lane : {1, 0}) {
      x.hear(walk.stage_ended(x.serial(lane), ""));
      x.hear(x.dispatch(lane));
      x.answer(all_near, walk.key_of(lane));
      x.answer(all_far, walk.key_of(lane));
    }
  EXPECT_EQ(x.hear(walk.stage_ended(x.serial(1), "")), "lane 1 end");
  EXPECT_FALSE(walk.step_is_out(1));
  EXPECT_EQ(x.hear(walk.begin(1)), "lane 1 run 0-6, lane 1 notify");
  EXPECT_EQ(walk.step_of(1), 3u);
  EXPECT_EQ(x.hear(walk.stage_ended(x.serial(0), "")), "end");
}

TEST(StepWalk, FailsNoOtherLaneForRows) {
  walker x{2};
  auto& walk = x.walk();
  x.hear(walk.begin(0));
  x.hear(walk.begin(1));
  x.hear(walk.stage_ended(x.serial(0), ""));
  x.hear(x.dispatch());
  auto of = walk.key_of(0);
  EXPECT_EQ(x.hear(walk.refused(of, "worker 0", rows_fault::no_memory)),
            "fail");
  EXPECT_EQ(x.answer(all_near, of), "-") << "nobody waits for it";
  EXPECT_EQ(x.hear(walk.stage_ended(x.serial(1), "")), "lane 1 dispatch");
}

TEST(StepWalk, FailsAllLanesWithTheirStream) {
  walker x{3};
  auto& walk = x.walk();
  x.hear(walk.begin(0));
  x.hear(walk.begin(2));
  EXPECT_EQ(x.hear(walk.stage_ended(x.serial(2), "broke")),
            "fail, lane 2 fail");
}

TEST(StepWalk, KeepsThoseThatFollowBehind) {
  walker x{3};
  auto& walk = x.walk();
  x.hear(walk.begin(0));
  x.hear(walk.begin(1, 1 << 0));
  x.hear(walk.begin(2, 1 << 0 | 1 << 1));
  for (uint8_t lane : {2, 1}) {
    x.hear(walk.stage_ended(x.serial(lane), ""));
    x.hear(x.dispatch(lane));
    x.answer(all_near, walk.key_of(lane));
    EXPECT_EQ(x.answer(all_far, walk.key_of(lane)),
              "lane " + std::to_string(lane) + " land")
      << "but none goes on";
  }
  x.hear(walk.stage_ended(x.serial(0), ""));
  x.hear(x.dispatch());
  x.answer(all_near, walk.key_of(0));
  EXPECT_EQ(x.answer(all_far, walk.key_of(0)),
            "land, run 8-12, notify, lane 1 run 8-12, lane 1 notify, "
            "lane 2 run 8-12, lane 2 notify");
}

TEST(StepWalk, FailsThoseThatFollow) {
  walker x{4};
  auto& walk = x.walk();
  x.hear(walk.begin(1));
  x.hear(walk.begin(0, 1 << 1));
  x.hear(walk.begin(2, 1 << 0));
  x.hear(walk.begin(3));
  EXPECT_EQ(x.hear(walk.fail(1, {errc::step_failed, "for a test"})),
            "lane 1 fail, fail, lane 2 fail");
  EXPECT_EQ(walk.cause(2).message, "for a test");
  EXPECT_TRUE(walk.step_is_out(3));
}

/// The owner of a walk whose streams, workers and slabs are chance.
class chance_world {
public:
  chance_world(uint32_t seed, uint8_t num_lanes)
    : random_(seed), x_(num_lanes), ran_(num_lanes) {
  }

  void run() {
    for (uint8_t lane = 0; lane < ran_.size(); ++lane) {
      behind_.push_back(uint8_t(random_() & ((1u << lane) - 1)));
      carry_out(x_.walk().begin(lane, behind_.back()));
    }
    for (int i = 0; i < 10000 && num_ends_ < ran_.size(); ++i)
      something_happens();
    EXPECT_EQ(num_ends_, ran_.size());
    for (auto& lane : ran_) {
      std::vector<uint32_t> all{0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13, 14, 15};
      EXPECT_EQ(lane, all) << "each stage once and in order";
    }
  }

private:
  struct away_rows {
    dispatch_key of;
    answer_section section;
  };

  uint32_t below(size_t n) {
    return uint32_t(random_() % n);
  }

  void something_happens() {
    auto n = notices_.size() + rows_.size();
    if (n == 0 || below(5) == 0)
      return carry_out(
        x_.walk().tick(start, [](uint8_t, uint32_t) { return true; }));
    auto i = below(n);
    if (i < notices_.size()) {
      auto serial = notices_[i];
      notices_.erase(notices_.begin() + i);
      return carry_out(x_.walk().stage_ended(serial, ""));
    }
    answer_first_of(rows_[i - notices_.size()].of, i - notices_.size());
  }

  /// Answers of one section keep their order: the oldest goes first.
  void answer_first_of(dispatch_key of, size_t chosen) {
    for (size_t i = 0; i < rows_.size(); ++i)
      if (rows_[i].of == of
          && rows_[i].section.worker == rows_[chosen].section.worker) {
        auto x = rows_[i];
        rows_.erase(rows_.begin() + long(i));
        std::vector<std::byte> slab(answer_head(1)
                                    + x.section.count * row_bytes);
        write_answer_head(slab.data(), {&x.section, 1});
        return carry_out(x_.walk().rows(of, node_id(x.section.worker),
                                        read_answers(slab, row_bytes)));
      }
  }

  void carry_out(const walk_actions& actions) {
    using enum walk_action::kind;
    for (auto& x : actions)
      if (x.what == walk_action::kind::run)
        for (auto i = x.first; i < x.last; ++i)
          note(x.lane, i);
      else if (x.what == notify)
        notices_.push_back(x.serial);
      else if (x.what == dispatch)
        send(x.lane);
      else if (x.what == end)
        ++num_ends_;
      else
        EXPECT_EQ(x.what, land) << x_.walk().cause(x.lane).message;
  }

  void note(uint8_t lane, uint32_t stage) {
    ran_[lane].push_back(stage);
    if (stage == 1 || stage == 4 || stage == 10)
      for (uint8_t i = 0; i < lane; ++i)
        if ((behind_[lane] >> i & 1) != 0) {
          EXPECT_TRUE(std::ranges::count(ran_[i], stage))
            << "attention of what comes before comes first";
        }
  }

  void send(uint8_t lane) {
    if (below(3) == 0)
      return carry_out(x_.walk().crowded(lane));
    auto of = x_.walk().key_of(lane);
    for (auto& part : x_.plan().workers)
      for (uint32_t done = 0; done < part.count;) {
        auto n = 1 + below(part.count - done);
        rows_.push_back({of, {part.worker, part.first + done, n}});
        done += n;
      }
    carry_out(x_.dispatch(lane));
  }

  std::mt19937 random_;
  walker x_;
  std::vector<std::vector<uint32_t>> ran_; ///< [lanes]
  std::vector<uint32_t> notices_;
  std::vector<away_rows> rows_;
  std::vector<uint8_t> behind_; ///< [lanes]
  size_t num_ends_ = 0;
};

TEST(StepWalk, ComesToItsEndWhateverTheOrder) {
  for (uint32_t seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    chance_world{seed, uint8_t(1 + seed % 4)}.run();
  }
}
