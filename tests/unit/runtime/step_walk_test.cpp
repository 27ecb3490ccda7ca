/// Every event in every state, and a step through all layers.

#include "tests/unit/runtime/walker.hpp"

#include <functional>

using namespace troupe;
using namespace troupe::walking;

namespace {

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
  EXPECT_EQ(x.answer({0, 1, 1}), "land, back, run 8-12, notify");
  EXPECT_EQ(walk.key_of(0).layer, 2u);
  EXPECT_EQ(x.hear(walk.stage_ended(x.serial(), "")), "dispatch");
  EXPECT_EQ(x.hear(x.dispatch()), "run 13-14");
  EXPECT_EQ(x.answer(all_near), "land");
  EXPECT_EQ(x.answer(all_far), "land, back, run 14-16, notify");
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
