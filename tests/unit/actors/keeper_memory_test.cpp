#include "tests/unit/actors/keeper_fixture.hpp"

#include <algorithm>

using namespace troupe;

namespace {

/// With host memory before the disk, or without a disk.
class KeeperMemory : public keeper_fixture {
protected:
  void start_with(uint64_t blocks, bool has_disk = true) {
    num_in_memory = blocks;
    if (!has_disk)
      parts_->keeper->files.dir.clear();
    start();
  }

  /// The bytes of the block that was fetched last, all of them.
  bool is_filled_with(int what) const {
    auto& bytes = *fetched().back().bytes;
    return std::all_of(bytes.data(), bytes.data() + bytes.size(),
                       [&](auto b) { return b == std::byte(what); });
  }

  /// Those that were told of and are held here end: who has fetched is done.
  void forget_what_was_told() {
    *told_ = {};
    scheduler_.run();
  }
};

} // namespace

TEST_F(KeeperMemory, IsReadWithoutTheDisk) {
  start_with(4);
  keep(*chain(0, 2), 10);
  EXPECT_EQ(count(counter::host_blocks), 2u);
  EXPECT_EQ(count(counter::store_blocks), 2u) << "they are written, too";
  io_->hangs = true;
  fetch(chain(0, 3));
  EXPECT_EQ(num_found(), 2u);
  ASSERT_EQ(fetched().size(), 2u);
  EXPECT_TRUE(is_filled_with(11));
  EXPECT_EQ(count(counter::host_hits), 2u);
  EXPECT_EQ(count(counter::store_hits), 0u);
  EXPECT_EQ(count(counter::store_misses), 1u);
}

TEST_F(KeeperMemory, NeedsNoDisk) {
  start_with(4, false);
  keep(*chain(0, 2), 10);
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 2u);
  EXPECT_EQ(count(counter::host_blocks), 2u);
  EXPECT_EQ(count(counter::store_blocks), 0u);
  EXPECT_EQ(count(counter::store_off), 0u) << "nothing has failed";
  wait(std::chrono::seconds{60});
  fetch(chain(0, 2));
  EXPECT_EQ(num_found(), 2u);
  EXPECT_TRUE(is_filled_with(11));
  forget_what_was_told();
  fetch(chain(100, 2));
  EXPECT_EQ(num_found(), 0u);
  EXPECT_EQ(count(counter::store_misses), 0u) << "of a disk";
}

TEST_F(KeeperMemory, KeepsWhatWasWantedLast) {
  start_with(2, false);
  keep(*chain(0, 2), 10);
  forget_what_was_told();
  keep(*chain(100, 1), 20);
  EXPECT_EQ(count(counter::host_blocks), 2u);
  fetch(chain(0, 2));
  EXPECT_EQ(num_found(), 1u) << "chains go from their ends";
  EXPECT_TRUE(is_filled_with(10));
  fetch(chain(100, 1));
  EXPECT_EQ(num_found(), 1u);
}

TEST_F(KeeperMemory, WhatIsReadFromTheDiskStaysHere) {
  start_with(4);
  keep(*chain(0, 2), 10);
  start(); // another process
  EXPECT_EQ(count(counter::host_blocks), 0u);
  fetch(chain(0, 2));
  EXPECT_EQ(count(counter::store_hits), 2u);
  EXPECT_EQ(count(counter::host_blocks), 2u);
  EXPECT_TRUE(is_filled_with(11));
  forget_what_was_told();
  io_->hangs = true;
  fetch(chain(0, 2));
  EXPECT_EQ(count(counter::host_hits), 2u);
  EXPECT_TRUE(is_filled_with(11));
}

TEST_F(KeeperMemory, WhatHasNoRoomThereGoesToTheDisk) {
  start_with(1);
  keep(*chain(0, 3), 10);
  EXPECT_EQ(count(counter::store_blocks), 3u);
  EXPECT_EQ(count(counter::host_blocks), 1u);
  fetch(chain(0, 3));
  EXPECT_EQ(num_found(), 3u);
  EXPECT_EQ(fetched().size(), 3u);
  EXPECT_EQ(count(counter::host_hits) + count(counter::store_hits), 3u);
}

TEST_F(KeeperMemory, WhatARankFindsInItsCacheIsOfUse) {
  start_with(3, false);
  keep(*chain(0, 2), 10);
  keep(*chain(100, 1), 20);
  auto all = *chain(0, 2);
  say(keeper_, keep_blocks{5, {{0, all[0]}, {1, all[1]}}}); // found there
  ASSERT_EQ(told_->of<blocks_let_go>().size(), 4u);
  EXPECT_EQ(told_->of<blocks_let_go>().back().blocks,
            (std::vector<uint32_t>{0, 1}));
  forget_what_was_told();
  keep(*chain(200, 1), 30);
  fetch(chain(0, 2));
  EXPECT_EQ(num_found(), 2u);
  fetch(chain(100, 1));
  EXPECT_EQ(num_found(), 0u);
}

/// What follows it stays there, too.
TEST_F(KeeperMemory, WhatItLacksOfABeginningComesBackFromARank) {
  start_with(3);
  auto all = *chain(0, 3);
  keep(all, 10);
  start(); // it has gone from memory, and is on the disk
  forget_what_was_told();
  say(keeper_, keep_blocks{5, {{0, all[0]}, {1, all[1]}}}); // found there
  EXPECT_EQ(count(counter::host_blocks), 2u);
  EXPECT_EQ(count(counter::store_bytes_written), 3 * bytes_) << "not again";
  auto rest = std::vector{all[2]};
  fetch(std::make_shared<const std::vector<kv_block>>(rest));
  EXPECT_TRUE(is_filled_with(12));
  EXPECT_TRUE(fetched().back().is_kept);
  EXPECT_EQ(count(counter::host_blocks), 3u);
}

/// The rank offers it once more.
TEST_F(KeeperMemory, SaysSoIfWhatIsReadDidNotStay) {
  start_with(1);
  keep(*chain(0, 1), 10);
  keep(*chain(100, 1), 20);
  fetch(chain(100, 1)); // which is in use from now on
  EXPECT_TRUE(fetched().back().is_kept);
  fetch(chain(0, 1));
  EXPECT_TRUE(is_filled_with(10));
  EXPECT_EQ(count(counter::store_hits), 1u);
  EXPECT_FALSE(fetched().back().is_kept);
  forget_what_was_told();
  fetch(chain(0, 1));
  EXPECT_TRUE(fetched().back().is_kept) << "now there is room";
}

/// Whoever reads a block has it whole, whatever else is kept meanwhile.
TEST_F(KeeperMemory, WhatIsReadGoesForNobody) {
  start_with(1, false);
  keep(*chain(0, 1), 10);
  fetch(chain(0, 1));
  keep(*chain(100, 1), 20);
  EXPECT_TRUE(is_filled_with(10));
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 2u) << "it is not kept";
  fetch(chain(100, 1));
  EXPECT_EQ(num_found(), 0u);
  forget_what_was_told();
  keep(*chain(100, 1), 20);
  fetch(chain(100, 1));
  EXPECT_EQ(num_found(), 1u);
  EXPECT_TRUE(is_filled_with(20));
}

TEST_F(KeeperMemory, WhatIsDroppedIsNotFound) {
  start_with(4);
  auto all = chain(0, 2);
  keep(*all, 10);
  say(keeper_, drop_blocks{{(*all)[1].key}});
  EXPECT_EQ(count(counter::host_blocks), 1u);
  EXPECT_EQ(count(counter::store_blocks), 1u);
  fetch(all);
  EXPECT_EQ(num_found(), 1u);
}

/// A name is a hash; here two blocks have one.
TEST_F(KeeperMemory, ComparesTokensToo) {
  start_with(4, false);
  auto all = *chain(0, 1);
  keep(all, 10);
  all[0].tokens[5] ^= 1;
  fetch(std::make_shared<const std::vector<kv_block>>(all));
  ASSERT_EQ(fetched().size(), 1u);
  EXPECT_FALSE(fetched()[0].bytes);
}

/// It is not to turn into a queue for a slow disk, nor to wait for it.
TEST_F(KeeperMemory, ADiskThatIsSlowHoldsFewOfIt) {
  start_with(8);
  io_->hangs = true;
  keep(*chain(0, 3), 10);
  EXPECT_EQ(io_->num_held(), 2u) << "one waits";
  EXPECT_EQ(count(counter::host_blocks), 3u);
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 3u);
  for (int i = 0; i < 3; ++i) {
    ASSERT_GT(io_->num_held(), 0u) << "the next one follows";
    io_->answer_one();
    scheduler_.run();
  }
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 3u);
  EXPECT_EQ(count(counter::host_blocks), 3u);
  EXPECT_EQ(count(counter::store_blocks), 3u);
}

TEST_F(KeeperMemory, WhatWaitsForTheDiskGoesIfItsRoomIsWanted) {
  parts_->keeper->max_writes = 1;
  start_with(2);
  io_->hangs = true;
  for (int i = 0; i < 3; ++i)
    keep(*chain(100 * i, 1), 10 * i);
  EXPECT_EQ(count(counter::host_blocks), 2u);
  EXPECT_EQ(count(counter::store_dropped), 0u);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(io_->num_held(), 1u);
    io_->answer_one();
    scheduler_.run();
  }
  EXPECT_EQ(count(counter::store_blocks), 2u) << "the first and the last";
  EXPECT_EQ(count(counter::store_dropped), 1u);
}

TEST_F(KeeperMemory, IsNotHeldUpByWhatHasNoRoomThere) {
  start_with(4);
  keep(*chain(0, 2), 10);
  start(); // another process
  forget_what_was_told();
  std::vector<kernels::host_ptr> busy{parts_->keeper->writing->take(),
                                      parts_->keeper->writing->take()};
  auto all = *chain(0, 3);
  say(keeper_, keep_blocks{5, {{2, all[2]}}});
  EXPECT_TRUE(told_->of<blocks_let_go>().empty()) << "it waits for the disk";
  keep(*chain(100, 1), 20);
  EXPECT_EQ(count(counter::host_blocks), 1u);
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 1u);
  busy.clear();
  scheduler_.run();
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 2u);
  EXPECT_EQ(count(counter::store_blocks), 4u);
}

TEST_F(KeeperMemory, NeedsNoOpenDisk) {
  end();
  parts_->keeper->memory = kv_memory::make(*device_, 2 * bytes_, bytes_);
  io_ = std::make_shared<scripted_io>();
  io_->hangs = true;
  keeper_ = spawn_keeper(system_, context_, parts_, io_);
  scheduler_.run();
  keep(*chain(0, 2), 10);
  EXPECT_EQ(count(counter::host_blocks), 2u);
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 2u);
  io_->hangs = false;
  io_->answer_one(); // it opens
  scheduler_.run();
  EXPECT_EQ(count(counter::store_blocks), 2u);
}

/// What nobody wants any more is not read once the disk gets to it.
TEST_F(KeeperMemory, FewAreReadIntoItAtOnce) {
  start_with(8);
  keep(*chain(0, 6), 10);
  start(); // another process
  io_->hangs = true;
  fetch(chain(0, 6));
  EXPECT_EQ(io_->num_held(), 2u);
  io_->answer_one();
  scheduler_.run();
  EXPECT_EQ(io_->num_held(), 2u) << "the next one follows";
  *wanted_ = false;
  for (int i = 0; i < 2; ++i) {
    io_->answer_one();
    scheduler_.run();
  }
  EXPECT_EQ(io_->num_held(), 0u);
  EXPECT_EQ(fetched().size(), 6u) << "each has an answer";
  EXPECT_EQ(count(counter::store_hits), 3u);
}

/// What the disk was to bring has no place there any more.
TEST_F(KeeperMemory, ADiskThatHangsKeepsNoPlaces) {
  start_with(4);
  keep(*chain(0, 3), 10);
  start(); // another process
  io_->hangs = true;
  fetch(chain(0, 3));
  wait(std::chrono::seconds{11});
  EXPECT_EQ(fetched().size(), 3u) << "each has an answer";
  forget_what_was_told();
  keep(*chain(0, 3), 20);
  EXPECT_EQ(count(counter::host_blocks), 3u);
  fetch(chain(0, 3));
  EXPECT_EQ(num_found(), 3u);
  EXPECT_TRUE(is_filled_with(22));
  forget_what_was_told();
  io_->answer_one(); // late
  scheduler_.run();
  EXPECT_EQ(count(counter::host_blocks), 3u);
  keep(*chain(100, 1), 30);
  EXPECT_EQ(count(counter::host_blocks), 4u) << "in the place that it had";
}

TEST_F(KeeperMemory, WhatWaitsToBeWrittenGoesWithTheDisk) {
  start_with(2);
  io_->hangs = true;
  keep(*chain(0, 2), 10);
  EXPECT_EQ(io_->num_held(), 2u);
  wait(std::chrono::seconds{11});
  EXPECT_EQ(count(counter::store_off), 1u);
  EXPECT_EQ(io_->num_held(), 1u) << "a thread has it in hand";
  keep(*chain(100, 1), 30);
  fetch(chain(100, 1));
  EXPECT_EQ(num_found(), 1u);
  EXPECT_EQ(count(counter::store_errors), 0u);
}

TEST_F(KeeperMemory, ADiskThatIsGivenUpLeavesIt) {
  start_with(2);
  keep(*chain(0, 4), 10);
  forget_what_was_told();
  io_->hangs = true;
  fetch(chain(0, 4));
  wait(std::chrono::seconds{11});
  EXPECT_EQ(count(counter::store_off), 1u);
  EXPECT_EQ(fetched().size(), 4u) << "each has an answer";
  forget_what_was_told();
  io_->hangs = false;
  keep(*chain(200, 1), 30);
  fetch(chain(200, 1));
  EXPECT_EQ(num_found(), 1u);
  EXPECT_TRUE(is_filled_with(30));
}
