#include "runtime/sim/fault_plan.hpp"

#include "tests/model_files.hpp"
#include "tests/unit/runtime/fuzz.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <span>

namespace {

using namespace troupe;
using namespace std::chrono_literals;

const plan_scope scope{{"front", "rank-0", "worker-1"}, 4};

std::vector<fault> plan_of(const std::string& text) {
  auto x = parse_fault_plan(text, "p.toml", scope);
  EXPECT_TRUE(x) << x.why().message;
  return x ? *x : std::vector<fault>{};
}

std::string complaint_about(const std::string& text) {
  auto x = parse_fault_plan(text, "p.toml", scope);
  return x ? "" : x.why().message;
}

virtual_duration some_span(test::chance& dice) {
  return virtual_duration{
    int64_t(1 + (dice.below(1ull << 49) >> dice.below(48)))};
}

/// Any fault that a file can hold.
fault some_fault(test::chance& dice) {
  fault x;
  x.kind = fault_kind(dice.below(num_fault_kinds));
  auto& form = form_of(x.kind);
  auto nodes = scope.nodes;
  nodes.emplace_back(any_name);
  if (form.target == fault_target_kind::request && dice.one_in(2))
    x.request = uint32_t(dice.below(scope.num_requests));
  if (form.target != fault_target_kind::request)
    x.node = dice.of(nodes);
  if (form.target == fault_target_kind::link)
    do
      x.peer = dice.of(nodes);
    while (x.peer == x.node && x.node != any_name);
  if (form.by_class && dice.one_in(2))
    x.frames = frame_filter(dice.below(5));
  switch (form.parameter) {
    case fault_parameter::factor:
      x.factor = 1 + double(1 + dice.below(1000)) / 7;
      break;
    case fault_parameter::extra:
      x.extra = some_span(dice);
      break;
    case fault_parameter::bytes_per_second:
      x.bytes_per_second = 1 + dice.below(1ull << 62);
      break;
    case fault_parameter::nth:
      x.nth = 1 + dice.below(100);
      break;
    case fault_parameter::pace:
      x.pace = some_span(dice);
      break;
    case fault_parameter::share:
    case fault_parameter::none:
      break;
  }
  x.trigger = fault_trigger(dice.below(3));
  if (form.lasts)
    x.lasts = some_span(dice);
  if (x.trigger == fault_trigger::at)
    x.at = some_span(dice) - 1ns;
  if (x.trigger == fault_trigger::every) {
    x.every = x.lasts + some_span(dice);
    x.times = uint32_t(1 + dice.below(1000));
  }
  if (x.trigger == fault_trigger::on) {
    x.event = trace_kind(dice.below(num_trace_kinds));
    x.nth_event = 1 + dice.below(1ull << 40);
    if (dice.one_in(2))
      x.event_node = dice.of(scope.nodes);
  }
  if (dice.one_in(2))
    x.p = double(1 + dice.below(1'000'000)) / 1'000'000;
  x.must_happen = dice.one_in(2);
  return x;
}

/// The second table of a plan, and what is said of it.
using wrong_table = std::pair<const char*, const char*>;

const wrong_table wrong_times[] = {
  {"kill = \"x\"\nat = \"1s\"",
   "p.toml:5: fault[1]: kill names \"x\", which is no node"},
  {"kill = 3\nat = \"1s\"", "p.toml:5: fault[1]: kill must be a string"},
  {"at = \"1s\"", "p.toml:4: fault[1]: kill or another fault is needed"},
  {"kill = \"front\"\nreset = [\"front\", \"rank-0\"]\nat = \"1s\"",
   "p.toml:6: fault[1]: reset cannot be in one table with kill"},
  {"kill = \"front\"\nat = \"1s\"\nwhen = 3",
   "p.toml:7: fault[1]: when is not a key of a fault"},
  {"kill = \"front\"", "fault[1]: at or on or every is needed"},
  {"kill = \"front\"\nat = \"1s\"\nevery = \"1s\"",
   "p.toml:7: fault[1]: every cannot be in one table with at"},
  {"kill = \"front\"\nat = \"1s\"\non = {event = \"frame_sent\"}",
   "p.toml:7: fault[1]: on cannot be in one table with at"},
  {"kill = \"front\"\nat = \"-1s\"", "p.toml:6: fault[1]: at must be a"},
  {"kill = \"front\"\nat = 1", "p.toml:6: fault[1]: at must be a string"},
  {"kill = \"front\"\nat = \"1s\"\nfor = \"0s\"",
   "p.toml:7: fault[1]: for must be above 0"},
  {"reset = [\"front\", \"rank-0\"]\nat = \"1s\"\nfor = \"1s\"",
   "p.toml:7: fault[1]: for is not for reset"},
  {"kill = \"front\"\nat = \"1s\"\ntimes = 2",
   "p.toml:7: fault[1]: times is only for every"},
  {"kill = \"front\"\nevery = \"1s\"", "fault[1]: times is needed"},
  {"kill = \"front\"\nevery = \"1s\"\ntimes = 0",
   "p.toml:7: fault[1]: times must be from 1"},
  {"kill = \"front\"\nevery = \"1s\"\ntimes = -1",
   "p.toml:7: fault[1]: times must be a whole number"},
  {"kill = \"front\"\nevery = \"0s\"\ntimes = 1",
   "p.toml:6: fault[1]: every must be above 0"},
};

const wrong_table wrong_others[] = {
  {"pause = \"front\"\nat = \"1s\"",
   "p.toml:4: fault[1]: for is needed: how long it lasts"},
  {"pause = \"front\"\nat = \"1s\"\nfor = \"0s\"",
   "p.toml:7: fault[1]: for must be above 0"},
  {"pause = \"front\"\nevery = \"1s\"\ntimes = 2\nfor = \"1s\"",
   "fault[1]: for must be shorter than every"},
  {"pause = \"front\"\nat = \"1s\"\nfor = \"1s\"\nclass = \"rows\"",
   "fault[1]: class is not for pause"},
  {"cut = \"front\"\nat = \"1s\"\nfor = \"1s\"",
   "p.toml:5: fault[1]: cut must be a list of two nodes"},
  {"cut = [\"front\"]\nat = \"1s\"\nfor = \"1s\"",
   "fault[1]: cut must be a list of two nodes"},
  {"cut = [\"front\", \"front\"]\nat = \"1s\"\nfor = \"1s\"",
   "fault[1]: cut must name two different nodes"},
  {"cut = [\"front\", \"y\"]\nat = \"1s\"\nfor = \"1s\"",
   "fault[1]: cut names \"y\", which is no node"},
  {"cut = [\"front\", \"any\"]\nat = \"1s\"\nfor = \"1s\"\n"
   "class = \"all\"",
   "fault[1]: class must be rows, control, bulk or heartbeat"},
  {"slow = \"front\"\nat = \"1s\"\nfor = \"1s\"", "fault[1]: factor is needed"},
  {"slow = \"front\"\nat = \"1s\"\nfor = \"1s\"\nfactor = -2",
   "p.toml:8: fault[1]: factor must be above 1"},
  {"slow = \"front\"\nat = \"1s\"\nfor = \"1s\"\nfactor = nan",
   "fault[1]: factor must be a finite number"},
  {"slow = \"front\"\nat = \"1s\"\nfor = \"1s\"\nfactor = 2\nnth = 1",
   "fault[1]: nth is not for slow"},
  {"rate = [\"front\", \"any\"]\nat = \"1s\"\nfor = \"1s\"\n"
   "bytes_per_second = -5",
   "fault[1]: bytes_per_second must be a whole number from 0"},
  {"alloc_fail = \"front\"\nat = \"1s\"\nnth = 0",
   "fault[1]: nth must be at least 1"},
  {"duplicate = [\"front\", \"any\"]\nat = \"1s\"\nfor = \"1s\"",
   "fault[1]: p is needed: the chance of each frame"},
  {"kill = \"front\"\nat = \"1s\"\np = 0", "fault[1]: p must be above 0"},
  {"kill = \"front\"\nat = \"1s\"\np = 1.5",
   "p.toml:7: fault[1]: p must be above 0 and at most 1"},
  {"kill = \"front\"\non = 3", "fault[1]: on must be a table"},
  {"kill = \"front\"\non = {event = \"lunch\"}",
   "p.toml:6: fault[1].on: event must be a kind of event"},
  {"kill = \"front\"\non = {nth = 1}", "fault[1].on: event must be"},
  {"kill = \"front\"\non = {event = \"frame_sent\", nth = 0}",
   "fault[1].on: nth must be at least 1"},
  {"kill = \"front\"\non = {event = \"frame_sent\", node = \"x\"}",
   "fault[1].on: node names \"x\", which is no node"},
  {"kill = \"front\"\non = {event = \"frame_sent\", n = 3}",
   "fault[1].on: n is not a key of an event"},
  {"client_vanish = 4\nat = \"1s\"",
   "fault[1]: client_vanish must be below 4, the number of requests"},
  {"client_vanish = -1\nat = \"1s\"",
   "fault[1]: client_vanish must be a request's number"},
  {"client_slow = \"every\"\nat = \"1s\"",
   "fault[1]: client_slow must be a request's number"},
  {"kill = \"front\"\nat = \"1s\"\nmust_happen = 1",
   "fault[1]: must_happen must be true or false"},
};

void expect_complaints(std::span<const wrong_table> tables) {
  const std::string first = "[[fault]]\nkill = \"front\"\nat = \"1s\"\n";
  for (auto& [text, why] : tables) {
    auto said = complaint_about(first + "[[fault]]\n" + text);
    auto at = std::string{why}.starts_with("p.toml") ? 0 : 10;
    EXPECT_EQ(said.find(why), at) << text << " gives " << said;
  }
}

} // namespace

TEST(FaultPlan, ReadsWhomWhatAndWhen) {
  auto plan = plan_of(R"(
[[fault]]
kill = "any"
on = { event = "frame_sent", nth = 1000, node = "rank-0" }
for = "2s"

[[fault]]
delay = ["rank-0", "worker-1"]
extra = "5ms"
class = "rows"
every = "5s"
times = 4
for = "3s"

[[fault]]
client_vanish = 3
at = "10ms"
p = 0.5
must_happen = false

[[fault]]
corrupt = ["any", "front"]
at = "1.5s"
for = "1s"
p = 1
)");
  ASSERT_EQ(plan.size(), 4u);
  EXPECT_EQ(plan[0].kind, fault_kind::kill);
  EXPECT_EQ(plan[0].node, "any");
  EXPECT_EQ(plan[0].lasts, std::chrono::seconds{2});
  EXPECT_EQ(plan[0].trigger, fault_trigger::on);
  EXPECT_EQ(plan[0].event, trace_kind::frame_sent);
  EXPECT_EQ(plan[0].nth_event, 1000u);
  EXPECT_EQ(plan[0].event_node, "rank-0");
  EXPECT_TRUE(plan[0].must_happen);
  EXPECT_EQ(plan[1].node + plan[1].peer, "rank-0worker-1");
  EXPECT_EQ(plan[1].extra, 5ms);
  EXPECT_EQ(plan[1].frames, frame_filter::rows);
  EXPECT_EQ(plan[1].every, 5s);
  EXPECT_EQ(plan[1].times, 4u);
  EXPECT_EQ(plan[1].lasts, 3s);
  EXPECT_EQ(plan[2].request, 3u);
  EXPECT_EQ(plan[2].at, 10ms);
  EXPECT_EQ(plan[2].p, 0.5);
  EXPECT_FALSE(plan[2].must_happen);
  EXPECT_EQ(plan[3].p, 1);
  EXPECT_EQ(describe(plan[1]), "delay rank-0 worker-1, rows only for 3s");
  EXPECT_EQ(describe(plan[2]), "client_vanish request 3");
}

TEST(FaultPlan, NamesLineTableAndKeyOfWhatIsWrong) {
  expect_complaints(wrong_times);
  expect_complaints(wrong_others);
  EXPECT_EQ(complaint_about("fault = 3"),
            "p.toml:1: fault must be a list of at most 1024 tables");
  EXPECT_EQ(complaint_about("fault = [3]"),
            "p.toml:1: fault[0] must be a table");
  EXPECT_EQ(complaint_about("[run]\nseed = 1"),
            "p.toml:1: run is not a key of a fault plan");
  EXPECT_TRUE(complaint_about("[[fault").starts_with("p.toml:1: "));
}

TEST(FaultPlan, IsReadBackAsItWasWritten) {
  test::chance dice;
  for (int i = 0; i < 2000; ++i) {
    std::vector<fault> plan(dice.below(5));
    for (auto& x : plan)
      x = some_fault(dice);
    auto text = render(plan);
    auto back = parse_fault_plan(text, "p.toml", scope);
    ASSERT_TRUE(back) << back.why().message << "\n" << text;
    ASSERT_TRUE(*back == plan) << text;
  }
}

TEST(FaultPlan, TakesNothingThatIsMutilatedForAPlanOfItsOwn) {
  test::chance dice;
  const std::vector<std::string> words{
    "[[fault]]", "kill = ", "\"any\"",  "at = \"1s\"",
    "for",       "=",       "\n",       "on = {event = \"frame_sent\"}",
    "-1",        "1e400",   "\"front\""};
  int taken = 0;
  for (int i = 0; i < 2000; ++i) {
    auto text = test::mutated(dice, render({some_fault(dice)}), words);
    auto plan = parse_fault_plan(text, "p.toml", scope);
    if (!plan) {
      EXPECT_TRUE(plan.why().message.starts_with("p.toml:")) << text;
      continue;
    }
    ++taken;
    auto again = parse_fault_plan(render(*plan), "p.toml", scope);
    ASSERT_TRUE(again && *again == *plan) << text;
  }
  EXPECT_GT(taken, 0);
}

TEST(FaultPlan, IsReadFromAFile) {
  auto dir = scratch_dir();
  auto path = dir / "plan.toml";
  std::ofstream{path} << "[[fault]]\nkill = \"nobody\"\nat = \"1s\"\n";
  auto x = read_fault_plan(path, scope);
  ASSERT_FALSE(x);
  EXPECT_EQ(x.why().message, path.string()
                               + ":2: fault[0]: kill names \"nobody\", which "
                                 "is no node");
  EXPECT_EQ(read_fault_plan(dir / "none.toml", scope).why().code,
            errc::not_found);
}
