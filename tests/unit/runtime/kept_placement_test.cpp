#include "runtime/cluster/kept_placement.hpp"

#include <gtest/gtest.h>

#include <algorithm>

using namespace troupe;

namespace {

/// Six experts at three workers of a node each, with two slots to spare; expert
/// 0 has moved from worker 0 to worker 1.
class KeptPlacement : public testing::Test {
protected:
  KeptPlacement() {
    moved_.epoch = 7;
    for (auto& x : moved_.replicas)
      if (x.expert == 0)
        x.replica = {{1, 3}, 5};
  }

  static std::vector<worker_id> workers_of(const placement& x, uint32_t layer,
                                           uint32_t expert) {
    std::vector<worker_id> out;
    for (auto& r : x.replicas_of(layer, expert))
      out.push_back(r.at.worker);
    return out;
  }

  placement first_{2, 6, 3, {0, 1, 2}, 0, 1, 0, 2};
  placement_lists moved_ = first_.lists();
};

} // namespace

TEST_F(KeptPlacement, IsReadAsItWasWritten) {
  auto back = decode_placement(encode_placement(moved_));
  ASSERT_TRUE(back) << back.why().message;
  EXPECT_EQ(*back, moved_);
}

TEST_F(KeptPlacement, GoesOnWithTheEpochBehindAndWithoutGaps) {
  auto next = go_on_with(first_, 7, encode_placement(moved_));
  EXPECT_EQ(next.trouble, "");
  EXPECT_EQ(next.map.epoch(), 8u);
  EXPECT_EQ(next.map.num_waiting(), 0u);
  for (uint32_t layer = 0; layer < 2; ++layer) {
    EXPECT_EQ(workers_of(next.map, layer, 0), std::vector<worker_id>{1});
    EXPECT_EQ(next.map.replicas_of(layer, 0)[0].weight, 5);
    EXPECT_EQ(workers_of(next.map, layer, 5), std::vector<worker_id>{2});
  }
  for (worker_id w = 0; w < 3; ++w)
    for (auto& held : next.map.experts_of(w))
      EXPECT_EQ(std::ranges::count(held, no_expert), 0) << w;
  EXPECT_EQ(next.map.slots_of(1), first_.slots_of(1))
    << "there is as much room";
}

TEST_F(KeptPlacement, WithoutOneItIsTheFirst) {
  auto next = go_on_with(first_, 1, {});
  EXPECT_EQ(next.map.lists(), first_.lists());
  EXPECT_EQ(next.trouble, "");
}

TEST_F(KeptPlacement, WhatDoesNotFitIsNotTakenButItsEpochIsOver) {
  auto anew = first_.lists();
  anew.epoch = 8;
  auto expect_anew = [&](const std::vector<std::byte>& bytes,
                         const std::string& words) {
    auto next = go_on_with(first_, 7, bytes);
    EXPECT_NE(next.trouble.find(words), std::string::npos) << next.trouble;
    EXPECT_EQ(next.map.lists(), anew) << words;
  };
  auto other = moved_;
  other.replicas[0].replica.at.worker = 3;
  expect_anew(encode_placement(other), "no such slot");
  other = moved_;
  other.unit = 1;
  expect_anew(encode_placement(other), "another unit");
  other = moved_;
  std::erase_if(other.replicas, [](auto& x) { return x.expert == 4; });
  expect_anew(encode_placement(other), "2 experts had no worker");
}

TEST_F(KeptPlacement, WhatIsDamagedIsNotTaken) {
  auto bytes = encode_placement(moved_);
  for (size_t n = 1; n < bytes.size(); n += 7)
    (void)go_on_with(first_, 7, std::span{bytes}.first(n)); // no more than that
  EXPECT_NE(go_on_with(first_, 7, std::span{bytes}.first(9)).trouble, "");
  for (size_t i = 0; i < bytes.size(); ++i) {
    auto torn = bytes;
    torn[i] ^= std::byte{0x55};
    auto next = go_on_with(first_, 7, torn);
    EXPECT_EQ(next.map.epoch(), 8u) << i;
    EXPECT_EQ(next.map.num_waiting(), 0u) << i;
  }
}

TEST_F(KeptPlacement, IsTakenIfNobodyWhoComesLaterIsNeeded) {
  placement grows{2, 6, 3, {0, 1, 2}, 0, 1, 3, 0, {}, {2}};
  auto kept = grows.left_by({2}).lists();
  auto next = go_on_with(grows, 7, encode_placement(kept), {2});
  EXPECT_EQ(next.trouble, "");
  EXPECT_EQ(next.map.experts_of(2), grows.experts_of(2))
    << "it has never come: its part waits for it";
  std::erase_if(kept.replicas, [](auto& x) { return x.expert == 0; });
  for (uint16_t layer = 0; layer < 2; ++layer)
    kept.replicas.push_back({layer, 0, {{2, 0}, 1}});
  next = go_on_with(grows, 7, encode_placement(kept), {2});
  EXPECT_EQ(next.trouble,
            "2 experts had no worker in it but on nodes that come later");
  EXPECT_EQ(next.map.epoch(), 8u);
}
