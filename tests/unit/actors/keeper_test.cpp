#include "tests/unit/actors/keeper_fixture.hpp"

#include <algorithm>

#include <sys/resource.h>

using namespace troupe;

namespace {

/// No file can be opened meanwhile.
class few_descriptors {
public:
  few_descriptors() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    auto none = before_;
    none.rlim_cur = 0;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }

  ~few_descriptors() {
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0);
  }

private:
  rlimit before_{};
};

class Keeper : public keeper_fixture {};

} // namespace

TEST_F(Keeper, BringsBackWhatItWasGiven) {
  start();
  auto all = chain(0, 2);
  keep(*all, 10);
  ASSERT_EQ(told_->of<blocks_let_go>().size(), 2u);
  EXPECT_EQ(told_->of<blocks_let_go>()[1].blocks, std::vector<uint32_t>{1});
  EXPECT_EQ(count(counter::store_blocks), 2u);
  EXPECT_EQ(count(counter::store_bytes_written), 2 * bytes_);
  start(); // as a new process
  EXPECT_EQ(count(counter::store_blocks), 2u);
  fetch(chain(0, 5));
  EXPECT_EQ(num_found(), 2u);
  EXPECT_EQ(count(counter::store_misses), 3u);
  EXPECT_EQ(count(counter::store_hits), 2u);
  EXPECT_EQ(count(counter::store_bytes_read), 2 * bytes_);
  ASSERT_EQ(fetched().size(), 2u);
  auto x = fetched()[1];
  EXPECT_EQ(x.index, 1u);
  say(keeper_, land_block{5, x.fetch, x.index, 7, x.bytes});
  ASSERT_EQ(told_->of<block_landed>().size(), 1u);
  EXPECT_TRUE(told_->of<block_landed>()[0].ok);
  EXPECT_TRUE(std::all_of(memory(7), memory(7) + bytes_,
                          [](auto b) { return b == std::byte{11}; }));
}

TEST_F(Keeper, KeepsNothingThatNobodyCouldFind) {
  start();
  auto all = *chain(0, 3);
  say(keeper_, keep_blocks{5, {{1, all[1]}, {0, all[0]}, {2, all[2]}}});
  EXPECT_EQ(count(counter::store_blocks), 1u);
  std::vector<uint32_t> back;
  for (auto& x : told_->of<blocks_let_go>())
    back.insert(back.end(), x.blocks.begin(), x.blocks.end());
  std::ranges::sort(back);
  EXPECT_EQ(back, (std::vector<uint32_t>{0, 1, 2})) << "each is let go once";
}

/// An eighth of the rank's eight blocks may wait.
TEST_F(Keeper, WhatTheDiskLagsBehindWaitsAndTheRestIsDropped) {
  start();
  std::vector<kernels::host_ptr> busy{parts_->keeper->writing->take(),
                                      parts_->keeper->writing->take()};
  keep(*chain(0, 3), 10);
  EXPECT_EQ(count(counter::store_dropped), 2u);
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 2u) << "and let go at once";
  EXPECT_EQ(count(counter::store_blocks), 0u);
  busy.clear();
  scheduler_.run();
  EXPECT_EQ(count(counter::store_blocks), 1u);
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 3u);
  keep(*chain(0, 3), 10);
  EXPECT_EQ(count(counter::store_blocks), 3u);
}

TEST_F(Keeper, WhatTheDiskHasWaitsForNothing) {
  start();
  keep(*chain(0, 1), 10);
  std::vector<kernels::host_ptr> busy{parts_->keeper->writing->take(),
                                      parts_->keeper->writing->take()};
  keep(*chain(0, 1), 10);
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 2u);
}

TEST_F(Keeper, WhatIsOfNoUseIsNotWaitedFor) {
  start();
  std::vector<kernels::host_ptr> busy{parts_->keeper->writing->take(),
                                      parts_->keeper->writing->take()};
  auto all = chain(0, 1);
  keep(*all, 10);
  EXPECT_TRUE(told_->of<blocks_let_go>().empty());
  say(keeper_, drop_blocks{{(*all)[0].key}});
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 1u);
  busy.clear();
  scheduler_.run();
  EXPECT_EQ(count(counter::store_blocks), 0u);
}

TEST_F(Keeper, WhatComesBeforeTheStoreIsOpenIsKept) {
  end();
  io_ = std::make_shared<scripted_io>();
  io_->hangs = true;
  keeper_ = spawn_keeper(system_, context_, parts_, io_);
  scheduler_.run();
  keep(*chain(0, 1), 10);
  EXPECT_TRUE(told_->of<blocks_let_go>().empty());
  io_->hangs = false;
  io_->answer_one();
  scheduler_.run();
  EXPECT_EQ(count(counter::store_blocks), 1u);
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 1u);
}

TEST_F(Keeper, AStoreThatDoesNotOpenHoldsNothing) {
  end();
  io_ = std::make_shared<scripted_io>();
  io_->hangs = true;
  keeper_ = spawn_keeper(system_, context_, parts_, io_);
  scheduler_.run();
  keep(*chain(0, 1), 10);
  wait(std::chrono::seconds{10});
  EXPECT_TRUE(told_->of<blocks_let_go>().empty());
  wait(std::chrono::seconds{1});
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 1u);
  EXPECT_EQ(count(counter::store_off), 1u);
  io_->hangs = false;
  io_->answer_one(); // at last
  scheduler_.run();
  EXPECT_EQ(count(counter::store_off), 0u);
  keep(*chain(0, 1), 10);
  EXPECT_EQ(count(counter::store_blocks), 1u);
}

/// The threads that read are others than the one that writes.
TEST_F(Keeper, AWriteThatHangsIsNoticedThoughReadsAreAnswered) {
  start();
  auto all = chain(0, 1);
  keep(*all, 10);
  io_->hangs = true;
  keep(*chain(100, 1), 20);
  io_->hangs = false;
  for (int i = 0; i < 2; ++i) {
    wait(std::chrono::seconds{6});
    fetch(all);
    EXPECT_TRUE(fetched().back().bytes);
  }
  EXPECT_EQ(count(counter::store_off), 1u);
  EXPECT_EQ(num_found(), 1u) << "it is read nonetheless";
}

TEST_F(Keeper, ADiskThatHangsIsGivenUpAndWhoWaitsHearsSo) {
  start();
  auto all = chain(0, 2);
  keep(*all, 10);
  io_->hangs = true;
  fetch(all);
  EXPECT_EQ(num_found(), 2u);
  wait(std::chrono::seconds{10});
  EXPECT_EQ(count(counter::store_off), 0u);
  EXPECT_TRUE(fetched().empty());
  wait(std::chrono::seconds{1});
  EXPECT_EQ(count(counter::store_off), 1u);
  ASSERT_EQ(fetched().size(), 2u);
  EXPECT_FALSE(fetched()[0].bytes || fetched()[1].bytes);
  io_->answer_one(); // late
  scheduler_.run();
  EXPECT_EQ(fetched().size(), 2u);
  fetch(all);
  EXPECT_EQ(num_found(), 0u);
}

TEST_F(Keeper, ADiskThatAnswersOthersDoesNotHang) {
  start();
  auto all = chain(0, 2);
  keep(*all, 10);
  io_->hangs = true;
  fetch(all);
  wait(std::chrono::seconds{8});
  io_->answer_one();
  scheduler_.run();
  wait(std::chrono::seconds{8});
  EXPECT_EQ(count(counter::store_off), 0u);
  wait(std::chrono::seconds{3});
  EXPECT_EQ(count(counter::store_off), 1u);
}

TEST_F(Keeper, AWriteThatHangsIsNoticedToo) {
  start();
  io_->hangs = true;
  keep(*chain(0, 1), 10);
  wait(std::chrono::seconds{10});
  EXPECT_EQ(count(counter::store_off), 0u);
  wait(std::chrono::seconds{1});
  EXPECT_EQ(count(counter::store_off), 1u);
  io_->hangs = false;
  keep(*chain(100, 1), 20);
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 2u);
  EXPECT_EQ(count(counter::store_blocks), 0u);
}

/// Others hold all descriptors that there are.
TEST_F(Keeper, WhatPassesEndsNothing) {
  start();
  auto all = chain(0, 1);
  keep(*all, 10);
  {
    few_descriptors none;
    fetch(all);
    keep(*chain(100, 1), 20);
  }
  ASSERT_EQ(fetched().size(), 1u);
  EXPECT_FALSE(fetched()[0].bytes);
  EXPECT_EQ(count(counter::store_errors), 2u);
  EXPECT_EQ(count(counter::store_off), 0u);
  told_->all.clear();
  fetch(all);
  ASSERT_EQ(fetched().size(), 1u) << "it is not forgotten";
  EXPECT_TRUE(fetched()[0].bytes);
  keep(*chain(100, 1), 20);
  EXPECT_EQ(count(counter::store_blocks), 2u);
}

TEST_F(Keeper, ReadsAsMuchAsThereIsMemoryFor) {
  start();
  auto all = chain(0, 5);
  keep(*all, 10);
  fetch(all);
  EXPECT_EQ(num_found(), 5u);
  EXPECT_EQ(fetched().size(), 2u);
  std::vector<uint32_t> come;
  while (!told_->all.empty()) {
    for (auto& x : fetched()) {
      EXPECT_TRUE(x.bytes);
      come.push_back(x.index);
    }
    told_->all.clear(); // gives the memory back
    scheduler_.run();
  }
  EXPECT_EQ(come, (std::vector<uint32_t>{0, 1, 2, 3, 4}));
}

TEST_F(Keeper, WhatIsNotWantedAnyMoreIsNotRead) {
  start();
  auto all = chain(0, 5);
  keep(*all, 10);
  std::vector<kernels::host_ptr> busy{parts_->keeper->reading->take(),
                                      parts_->keeper->reading->take()};
  fetch(all);
  EXPECT_EQ(num_found(), 5u);
  EXPECT_TRUE(fetched().empty());
  *wanted_ = false;
  busy.clear();
  scheduler_.run();
  ASSERT_EQ(fetched().size(), 5u) << "each is told of";
  for (auto& x : fetched())
    EXPECT_FALSE(x.bytes);
  EXPECT_EQ(count(counter::store_hits), 0u);
}

TEST_F(Keeper, DamagedIsMissing) {
  start();
  auto all = chain(0, 2);
  keep(*all, 10);
  for (auto& x :
       std::filesystem::recursive_directory_iterator{parts_->keeper->files.dir})
    if (x.is_regular_file() && x.file_size() > 0)
      std::filesystem::resize_file(x, x.file_size() - bytes_ / 2);
  fetch(all);
  ASSERT_EQ(fetched().size(), 2u);
  EXPECT_TRUE(fetched()[0].bytes);
  EXPECT_FALSE(fetched()[1].bytes);
  EXPECT_EQ(count(counter::store_damaged), 1u);
  EXPECT_EQ(count(counter::store_off), 0u);
  told_->all.clear();
  fetch(all);
  EXPECT_EQ(num_found(), 1u);
}

TEST_F(Keeper, ForgetsForGoodWhatIsOfNoUse) {
  start();
  auto all = chain(0, 2);
  keep(*all, 10);
  say(keeper_, drop_blocks{{(*all)[1].key, kv_key{}}});
  EXPECT_EQ(count(counter::store_blocks), 1u);
  start();
  fetch(all);
  EXPECT_EQ(num_found(), 1u);
}

TEST_F(Keeper, ForgetsWhatStandsOnItToo) {
  start();
  auto all = chain(0, 4);
  keep(*all, 10);
  keep(*chain(100, 2), 20);
  say(keeper_, drop_blocks{{(*all)[1].key}});
  EXPECT_EQ(count(counter::store_blocks), 3u);
  keep({(*all)[0], (*all)[1]}, 10); // once more, and right
  start();
  fetch(all);
  EXPECT_EQ(num_found(), 2u);
  fetch(chain(100, 2));
  EXPECT_EQ(num_found(), 2u);
}

TEST_F(Keeper, WhatStandsOnItIsNotWaitedFor) {
  start();
  auto all = *chain(0, 2);
  keep({all[0]}, 10);
  std::vector<kernels::host_ptr> busy{parts_->keeper->writing->take(),
                                      parts_->keeper->writing->take()};
  say(keeper_, keep_blocks{5, {{1, all[1]}}});
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 1u);
  say(keeper_, drop_blocks{{all[0].key}});
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 2u);
}

/// Whatever it is that the threads have in hand when this ends.
TEST_F(Keeper, ForgetsForGoodWhatIsBeingWritten) {
  for (bool hears : {true, false}) {
    start();
    auto all = chain(hears ? 0 : 100, 1);
    io_->hangs = true;
    keep(*all, 10);
    say(keeper_, drop_blocks{{(*all)[0].key}});
    if (!hears)
      end();
    io_->answer_one();
    scheduler_.run();
    while (io_->num_held() > 0)
      io_->answer_one();
    start();
    EXPECT_EQ(count(counter::store_blocks), 0u);
    EXPECT_EQ(count(counter::store_damaged), 0u);
  }
}

TEST_F(Keeper, WhatIsOfNoUseIsErasedBeforeAnythingIsWritten) {
  start();
  auto all = chain(0, 1);
  keep(*all, 10);
  io_->hangs = true;
  keep(*chain(100, 2), 20);
  say(keeper_, drop_blocks{{(*all)[0].key}});
  EXPECT_EQ(io_->num_held(), 3u);
  io_->answer_one();
  start(); // the disk has done no more
  EXPECT_EQ(count(counter::store_blocks), 0u);
}

TEST_F(Keeper, IsOffWithoutAPlaceAndAnswersNonetheless) {
  parts_->keeper->files.dir = "/proc/kv";
  start();
  EXPECT_EQ(count(counter::store_off), 1u);
  keep(*chain(0, 1), 10);
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 1u);
  fetch(chain(0, 2));
  EXPECT_EQ(num_found(), 0u);
}

TEST_F(Keeper, AFailedWriteIsTheLastOne) {
  start();
  keep(*chain(0, 1), 10);
  for (auto& x :
       std::filesystem::directory_iterator{parts_->keeper->files.dir}) {
    for (auto& file : std::filesystem::directory_iterator{x})
      if (file.file_size() > 0) {
        std::filesystem::rename(file, x.path() / "aside");
        std::filesystem::create_directory(file);
      }
  }
  keep(*chain(100, 1), 20);
  EXPECT_EQ(count(counter::store_errors), 1u);
  EXPECT_EQ(count(counter::store_off), 1u);
  keep(*chain(200, 1), 20);
  EXPECT_EQ(count(counter::store_errors), 1u);
  EXPECT_EQ(told_->of<blocks_let_go>().size(), 3u);
}

TEST_F(Keeper, WhatIsComputedSoonerIsNotRead) {
  start();
  auto all = chain(0, 1);
  keep(*all, 10);
  for (int i = 0; i < 30; ++i) {
    fetch(all); // it learns what a read takes
    told_->all.clear();
  }
  auto hits = count(counter::store_hits);
  EXPECT_EQ(hits, 30u);
  fetch(all, 1e-12);
  EXPECT_EQ(num_found(), 0u);
  EXPECT_EQ(count(counter::store_declined), 1u);
  fetch(all, 100);
  EXPECT_EQ(num_found(), 1u);
}
