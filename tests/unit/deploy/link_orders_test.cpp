#include "deploy/link_orders.hpp"
#include "deploy/word_channel.hpp"

#include "runtime/transport/loopback.hpp"

#include <gtest/gtest.h>

namespace {

using namespace troupe;
using namespace std::chrono_literals;

link_order order_of(link_order::kind what, uint64_t id, link_rule rule = {}) {
  return {what, id, rule};
}

std::vector<link_effect> effects_of(link_servant& servant) {
  std::vector<link_effect> out;
  servant.act([&](auto& effect) {
    out.push_back(effect);
    return true;
  });
  return out;
}

} // namespace

TEST(LinkOrders, AreReadAsTheyWereWritten) {
  link_rule delay;
  delay.what = link_rule::kind::delay;
  delay.peer = 3;
  delay.which = frame_filter::bulk;
  delay.extra = 1500us;
  link_rule rate;
  rate.what = link_rule::kind::rate;
  rate.bytes_per_second = 1 << 30;
  link_rule peer;
  peer.peer = 65'534;
  for (auto& x : {order_of(link_order::kind::begin, 7, delay),
                  order_of(link_order::kind::begin, 8, rate),
                  order_of(link_order::kind::heal, 7),
                  order_of(link_order::kind::reset, 9, peer)})
    EXPECT_EQ(parse_link_order(render(x)), x) << render(x);
  link_effect effect{7, 12};
  EXPECT_EQ(parse_link_effect(render(effect)), effect);
}

TEST(LinkOrders, OtherWordsAreNone) {
  for (auto text : {"", "heal", "heal x", "heal 1 2", "begin 1", "stop 1",
                    "begin 1 9 1 0 0 0", "begin 1 0 1 9 0 0",
                    "begin 1 2 1 0 0 0", "begin 1 0 70000 0 0 0", "reset 1"})
    EXPECT_FALSE(parse_link_order(text)) << text;
  for (auto text : {"", "did", "did 1", "did 1 x", "did 1 2 3", "do 1 2"})
    EXPECT_FALSE(parse_link_effect(text)) << text;
}

TEST(LinkServant, TellsWhatItsOrdersDoAsTheyDoIt) {
  system_clock time;
  loopback_network net;
  auto links = std::make_shared<link_faults>(time);
  size_t num_got = 0;
  transport_handler ears;
  ears.on_frame = [&](node_id, frame&&) { ++num_got; };
  auto receiver = net.join(1, {"receiver", 2, 0, {}}, std::move(ears));
  faulty_transport sender{net.join(0, {"sender", 1, 0, {}}, links->listen({})),
                          links};
  link_servant servant{links};
  link_rule cut;
  cut.peer = 1;
  servant.obey({link_order::kind::begin, 5, cut});
  EXPECT_TRUE(effects_of(servant).empty());
  sender.send(1, {}, {});
  sender.send(1, {}, {});
  servant.act([](auto&) { return false; }); // nobody takes it
  EXPECT_EQ(effects_of(servant), (std::vector<link_effect>{{5, 2}}));
  EXPECT_TRUE(effects_of(servant).empty()) << "told already";
  EXPECT_EQ(num_got, 0u);
  servant.obey({link_order::kind::heal, 5, {}});
  servant.obey({link_order::kind::heal, 6, {}}); // nobody began it
  effects_of(servant);
  EXPECT_EQ(num_got, 2u);
  servant.obey({link_order::kind::reset, 7, cut});
  servant.act([](auto&) { return false; });
  EXPECT_EQ(effects_of(servant), (std::vector<link_effect>{{7, 1}}));
  servant.obey({link_order::kind::reset, 8, cut});
  EXPECT_TRUE(effects_of(servant).empty()) << "there was nothing to break";
}

TEST(FaultChannel, CarriesWordsEachWayWhole) {
  auto made = word_channel::make();
  ASSERT_TRUE(made);
  auto& [here, there] = *made;
  EXPECT_FALSE(here.hear());
  EXPECT_TRUE(here.say("one"));
  EXPECT_TRUE(here.say("two words"));
  EXPECT_EQ(there.hear(), "one");
  EXPECT_EQ(there.hear(), "two words");
  EXPECT_FALSE(there.hear());
  EXPECT_TRUE(there.say("back"));
  EXPECT_EQ(here.hear(), "back");
}

TEST(FaultChannel, SaysThatNobodyIsThere) {
  auto made = word_channel::make();
  ASSERT_TRUE(made);
  auto here = std::move(made->first);
  { auto gone = std::move(made->second); }
  EXPECT_FALSE(here.say("hello"));
  EXPECT_FALSE(here.hear());
}

TEST(FaultChannel, TakesNoOtherDescriptor) {
  for (auto fd : {-1, 0, 987})
    EXPECT_FALSE(word_channel::adopt(fd)) << fd;
}
