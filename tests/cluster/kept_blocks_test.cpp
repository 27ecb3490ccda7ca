/// A request whose beginning comes from the disk has the tokens and logits of
/// one that computes it, and of one that finds it in memory, bit for bit;
/// whatever has happened to the files meanwhile.

#include "tests/cluster/conversation.hpp"
#include "tests/model_files.hpp"

#include <thread>

namespace troupe {

namespace {

class KeptBlocks : public testing::TestWithParam<prefix_setting> {
protected:
  std::unique_ptr<company> start(bool keeps = true) {
    auto out = options_for(GetParam());
    if (keeps)
      out.node.kv_cache_dir = dir_.string();
    out.node.kv_cache_bytes = 100 << 20;
    return started(std::move(out));
  }

  /// Until the counters say so; they are told a few times a second.
  template <class Fn>
  static void wait_for(const company& x, Fn fn) {
    for (int i = 0; i < 600 && !fn(x.stats()); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds{50});
    EXPECT_TRUE(fn(x.stats()));
  }

  static void wait_for_blocks(const company& x, uint64_t count) {
    wait_for(x, [&](const auto& stats) { return stats.store_blocks == count; });
  }

  /// Changes a byte in the middle of each 1000 of all files.
  void damage_all() const {
    for (auto& x : std::filesystem::recursive_directory_iterator{dir_})
      if (x.is_regular_file() && x.file_size() > 0) {
        auto text = read_text(x);
        for (size_t i = 500; i < text.size(); i += 1000)
          text[i] ^= 32;
        write_text(x, text);
      }
  }

  std::filesystem::path dir_ = scratch_dir() / "kv";
  generation_request what_ = request_for(random_prompt(1, 190), 70, 5);
};

TEST_P(KeptBlocks, AHitOnTheDiskChangesNoBit) {
  auto activations = std::get<2>(GetParam());
  auto want = ask_plain(nano_model(), activations, {what_});
  conversation next{what_};
  next.go_on(want[0], 7, 30);
  auto& turn = next.turn;
  auto want_turn = ask_plain(nano_model(), activations, {turn});
  {
    auto first = start();
    auto cold = ask_all(*first, {what_});
    expect_equal(cold, want);
    EXPECT_EQ(cold[0].num_cached, 0u);
    auto warm = ask_all(*first, {what_});
    expect_equal(warm, want);
    EXPECT_EQ(warm[0].num_cached, 128u);
    wait_for_blocks(*first, 4);
    EXPECT_EQ(first->stats().store_hits, 0u);
  }
  {
    auto second = start();
    wait_for_blocks(*second, 4);
    auto again = ask_all(*second, {what_});
    expect_equal(again, want);
    EXPECT_EQ(again[0].num_cached, 128u);
    wait_for(*second, [](const auto& x) { return x.store_hits == 2; });
    auto third = start();
    EXPECT_EQ(ask_all(*third, {what_})[0].num_cached, 0u)
      << "the place is taken: it has one of its own";
  }
  {
    // Inside of what was generated, too, and beside others.
    auto fourth = start();
    wait_for_blocks(*fourth, 4);
    auto got = ask_all(*fourth, {turn, what_, turn});
    expect_equal(got, {want_turn[0], want[0], want_turn[0]});
    EXPECT_EQ(got[0].num_cached, 256u);
    wait_for(*fourth, [](const auto& x) { return x.store_hits >= 4; });
    EXPECT_EQ(fourth->stats().store_damaged, 0u);
    EXPECT_EQ(fourth->stats().store_off, 0u);
  }
  auto none = start(false);
  expect_equal(ask_all(*none, {turn}), want_turn);
  EXPECT_EQ(none->stats().store_blocks, 0u);
}

TEST_P(KeptBlocks, AnotherTenantFindsNothing) {
  {
    auto first = start();
    ask_all(*first, {what_});
    wait_for_blocks(*first, 4);
  }
  auto second = start();
  wait_for_blocks(*second, 4);
  auto other = what_;
  other.cache_salt = "another";
  auto got = ask_all(*second, {other});
  EXPECT_EQ(got[0].num_cached, 0u);
  EXPECT_EQ(ask_all(*second, {what_})[0].num_cached, 128u);
}

TEST_P(KeptBlocks, DamagedFilesAreComputedAgain) {
  auto want = ask_plain(nano_model(), std::get<2>(GetParam()), {what_});
  {
    auto first = start();
    ask_all(*first, {what_});
    wait_for_blocks(*first, 4);
  }
  auto second = start();
  wait_for_blocks(*second, 4);
  damage_all(); // while it is used
  auto got = ask_all(*second, {what_});
  expect_equal(got, want);
  EXPECT_EQ(got[0].num_cached, 0u);
  wait_for(*second, [](const auto& x) { return x.store_damaged > 0; });
  EXPECT_EQ(second->stats().requests_failed, 0u);
  wait_for_blocks(*second, 4); // the new ones
  second.reset();
  damage_all();
  auto third = start();
  expect_equal(ask_all(*third, {what_}), want);
}

TEST_P(KeptBlocks, CancelsFreeEverything) {
  {
    auto first = start();
    ask_all(*first, {what_});
    wait_for_blocks(*first, 4);
  }
  auto second = start();
  wait_for_blocks(*second, 4);
  auto free = second->stats().kv_blocks_free;
  for (int i = 0; i < 20; ++i) {
    auto id = second->submit(what_, [](auto&) {});
    ASSERT_TRUE(id);
    second->cancel(*id);
  }
  wait_for(*second, [&](const auto& x) {
    return x.requests_cancelled == 20 && x.kv_blocks_free == free;
  });
}

/// What a full cache lets go is found in host memory, without a disk.
TEST_P(KeptBlocks, AHitInHostMemoryChangesNoBit) {
  auto activations = std::get<2>(GetParam());
  auto want = ask_plain(nano_model(), activations, {what_});
  auto options = options_for(GetParam());
  options.cluster.limits.num_kv_blocks = 8;
  options.node.kv_host_bytes = 100 << 20;
  auto x = started(std::move(options));
  expect_equal(ask_all(*x, {what_}), want);
  wait_for(*x, [](const auto& stats) { return stats.host_blocks == 4; });
  ask_all(*x, {request_for(random_prompt(2, 490), 8, 6)}); // needs all of it
  auto again = ask_all(*x, {what_});
  expect_equal(again, want);
  EXPECT_EQ(again[0].num_cached, 128u);
  wait_for(*x, [](const auto& stats) { return stats.host_hits == 2; });
  auto other = what_;
  other.cache_salt = "another";
  EXPECT_EQ(ask_all(*x, {other})[0].num_cached, 0u);
  EXPECT_EQ(x->stats().store_blocks, 0u);
  EXPECT_EQ(x->stats().store_off, 0u);
}

TEST_P(KeptBlocks, ACacheThatForgetsKeepsNone) {
  auto options = options_for(GetParam());
  options.cluster.limits.prefix_caching = false;
  options.node.kv_host_bytes = 1 << 20;
  auto made = company::start(std::move(options));
  ASSERT_TRUE(made) << made.why().message;
  auto refused = (*made)->wait_until_ready(std::chrono::seconds{60});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.why().message.find("goes with --prefix-caching on"),
            std::string::npos)
    << refused.why().message;
}

INSTANTIATE_TEST_SUITE_P(Everywhere, KeptBlocks,
                         testing::Values(std::tuple{1u, 1u, precision::fp8},
                                         std::tuple{2u, 8u, precision::fp8},
                                         std::tuple{2u, 4u, precision::fp32}));

} // namespace

} // namespace troupe
