#include "runtime/transport/link_emulation.hpp"

#include "tests/unit/runtime/fuzz.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

link_emulation read(std::string_view text) {
  auto x = parse_link_emulation(text);
  EXPECT_TRUE(x) << x.why().message;
  return x ? *x : link_emulation{};
}

std::string complaint(std::string_view text) {
  auto x = parse_link_emulation(text);
  EXPECT_FALSE(x) << text;
  return x ? "" : x.why().message;
}

} // namespace

TEST(LinkEmulation, KeepsTheDefaultOfWhatIsNotNamed) {
  auto x = read("latency=2ms");
  EXPECT_EQ(x.model.latency, 2ms);
  EXPECT_EQ(x.model.jitter, 0ms);
  EXPECT_EQ(x.model.bytes_per_second, 0u);
  EXPECT_EQ(x.model.max_queue, link_model{}.max_queue);
  EXPECT_FALSE(x.is_none());
  for (auto l : {lane::control, lane::rows, lane::bulk}) {
    EXPECT_TRUE(x.concerns(1, l));
    EXPECT_TRUE(x.concerns(7, l));
  }
}

TEST(LinkEmulation, TakesEveryKeyInAnyOrder) {
  auto x = read("seed=7,class=rows,rate=10gbit,to=2,jitter=100us,queue=4096,"
                "latency=0.5ms");
  EXPECT_EQ(x.model, (link_model{500us, 100us, 1'250'000'000, 4096}));
  EXPECT_EQ(x.seed, 7u);
  EXPECT_TRUE(x.concerns(2, lane::rows));
  EXPECT_FALSE(x.concerns(2, lane::control));
  EXPECT_FALSE(x.concerns(1, lane::rows));
  EXPECT_EQ(read("rate=8bit").model.bytes_per_second, 1u);
  EXPECT_EQ(read("rate=1.6kbit").model.bytes_per_second, 200u);
}

TEST(LinkEmulation, OfNothingHoldsNothingBack) {
  EXPECT_TRUE(read("latency=0s").is_none());
  EXPECT_TRUE(read("class=control,latency=0s").is_none());
  EXPECT_FALSE(read("jitter=1ns").is_none());
  EXPECT_FALSE(read("rate=1gbit").is_none());
}

TEST(LinkEmulation, SaysWhatIsWrong) {
  for (auto [text, word] : std::vector<std::pair<const char*, const char*>>{
         {"", "KEY=VALUE"},
         {"latency", "\"latency\""},
         {"latency=2ms,", "KEY=VALUE"},
         {"latency=2", "latency must be a time"},
         {"latency=-2ms", "latency must be a time"},
         {"jitter=", "jitter must be a time"},
         {"rate=1", "rate must be a rate"},
         {"rate=0gbit", "rate must be a rate"},
         {"rate=12bit", "whole bytes"},
         {"queue=0", "queue must be a whole number from 1"},
         {"queue=1k", "queue must be a whole number"},
         {"queue=4096,to=1", "queue holds nothing where there is no latency"},
         {"to=65536", "to must be a whole number from 0 to 65535"},
         {"to=-1", "to must be"},
         {"class=dispatch", "class must be rows"},
         {"class=heartbeat", "never held back"},
         {"seed=x", "seed must be"},
         {"delay=2ms", "delay is none of"},
         {"latency=2ms,latency=3ms", "latency is there twice"}}) {
    auto why = complaint(text);
    EXPECT_NE(why.find(word), why.npos) << text << ": " << why;
  }
}

TEST(LinkEmulation, IsWrittenAsItIsRead) {
  EXPECT_EQ(render(read("latency=2ms")), "latency=2ms");
  EXPECT_EQ(render(read("to=3,rate=2.5gbit")), "latency=0s,rate=2500mbit,to=3");
  test::chance dice;
  for (int i = 0; i < 1000; ++i) {
    link_emulation x;
    auto some = [&] { return 1 + dice.below(1u << dice.below(30)); };
    x.model.latency = std::chrono::nanoseconds{int64_t(some())};
    if (dice.one_in(2))
      x.model.jitter = std::chrono::nanoseconds{int64_t(some())};
    if (dice.one_in(2))
      x.model.bytes_per_second = some();
    if (dice.one_in(2))
      x.model.max_queue = some();
    if (dice.one_in(2))
      x.to = node_id(dice.below(65536));
    x.which = frame_filter(dice.below(4));
    if (dice.one_in(2))
      x.seed = some();
    EXPECT_EQ(read(render(x)), x) << render(x);
  }
}

TEST(LinkEmulation, IsOneSentenceForThoseWhoStartANode) {
  auto text = describe(
    std::vector{read("latency=2ms"), read("class=control,latency=0s")});
  EXPECT_NE(text.find("latency=2ms; then latency=0s,class=control"), text.npos)
    << text;
  EXPECT_EQ(text.find('\n'), text.npos);
}
