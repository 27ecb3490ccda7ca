#include "runtime/kv_store/kv_store.hpp"

#include "tests/unit/runtime/kv_store_fixture.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <list>
#include <map>
#include <random>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace troupe {

namespace {

TEST(KvKey, DependsOnEverythingThatDecidesABlock) {
  std::array<int32_t, kv_block::num_tokens> tokens{1, 2, 3};
  kv_chain x{identity_of("a")}, y{identity_of("b")};
  EXPECT_NE(x.root(""), y.root(""));
  EXPECT_NE(x.root(""), x.root("salt"));
  auto key = kv_chain::next(x.root(""), tokens, 1);
  EXPECT_EQ(key, kv_chain::next(x.root(""), tokens, 1));
  EXPECT_NE(key, kv_chain::next(x.root("salt"), tokens, 1));
  EXPECT_NE(key, kv_chain::next(x.root(""), tokens, 0));
  tokens.back() = 1;
  EXPECT_NE(key, kv_chain::next(x.root(""), tokens, 1));
}

/// What other processes have written is to be found for ever.
TEST(KvKey, IsTheOneThatWasWrittenBefore) {
  std::array<int32_t, kv_block::num_tokens> tokens{1, 2, 3};
  auto root = kv_chain{identity_of("model")}.root("salt");
  EXPECT_EQ(to_string(root), "aacffe8ee8f2ef09933dfa2157721122"
                             "623e0192bb2f683f429befa25b59f697");
  EXPECT_EQ(to_string(kv_chain::next(root, tokens, 5)),
            "11d01b48f19d3a21ddddd442db122275"
            "c6f9366f4ff768c537e382490acc8e61");
}

TEST(KvRecord, ComesBackAndIsBelievedWholeAlone) {
  kv_record x;
  x.identity = identity_of("a");
  x.what.depth = 7;
  x.what.tokens.fill(9);
  x.what.multi_head = 3;
  x.num_bytes = 100;
  x.serial = 5;
  x.bytes = {1, 2};
  auto header = write_header(x);
  auto back = read_header(header);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, x);
  EXPECT_FALSE(read_header(std::span{header}.first(511)));
  for (size_t i = 0; i < header.size(); ++i) {
    auto damaged = header;
    damaged[i] ^= std::byte{4};
    EXPECT_FALSE(read_header(damaged)) << i;
  }
}

TEST_F(KvStore, FindsWhatItWasGiven) {
  open();
  auto all = chain(0, 5);
  EXPECT_EQ(num_got(all), 0u);
  put(all);
  EXPECT_EQ(store_->index().num_found(all), 5u);
  EXPECT_EQ(num_got(all), 5u);
  EXPECT_TRUE(put(all[2])); // it is there
  EXPECT_EQ(store_->index().num_blocks(), 5u);
}

TEST_F(KvStore, FindsItAgainAfterARestart) {
  open();
  auto all = chain(0, 40); // in several files
  put(all);
  open();
  EXPECT_EQ(store_->num_damaged(), 0u);
  EXPECT_EQ(store_->index().num_found(all), 40u);
  EXPECT_EQ(num_got(all), 40u);
}

TEST_F(KvStore, WhatIsWrittenOrReadKeepsItsPlace) {
  open(2);
  auto all = chain(0, 1), more = chain(1000, 3);
  auto writing = store_->begin_write(all[0]);
  ASSERT_TRUE(writing);
  EXPECT_FALSE(store_->begin_read(all[0])) << "it is not there yet";
  EXPECT_FALSE(store_->begin_write(all[0])) << "it comes already";
  EXPECT_TRUE(put(more[0]));
  auto reading = store_->begin_read(more[0]);
  ASSERT_TRUE(reading);
  EXPECT_FALSE(store_->begin_write(more[1])) << "both places are in use";
  EXPECT_TRUE(store_->files()->write(writing->slot, all[0], writing->serial,
                                     bytes_of(all[0])));
  store_->end_write(*writing, true);
  EXPECT_TRUE(get(all[0]));
  EXPECT_TRUE(put(more[1])); // instead of all[0]
  EXPECT_FALSE(get(all[0]));
  store_->end_read(*reading, kv_outcome::damaged);
  EXPECT_FALSE(get(more[0]));
  EXPECT_TRUE(put(more[2])); // in its place
  EXPECT_TRUE(get(more[1]));
}

TEST_F(KvStore, AWriteThatFailedIsAMiss) {
  open();
  auto x = chain(0, 1)[0];
  auto ticket = store_->begin_write(x);
  store_->end_write(*ticket, false);
  EXPECT_FALSE(get(x));
  EXPECT_TRUE(put(x));
  EXPECT_TRUE(get(x));
}

TEST_F(KvStore, WhatIsDroppedIsNotFoundWhateverHappensMeanwhile) {
  open(4);
  auto all = chain(0, 3);
  put({all[0], all[1]});
  EXPECT_FALSE(store_->drop(all[2].key));
  auto erase = [this](const kv_key& x) {
    auto ticket = store_->drop(x);
    ASSERT_TRUE(ticket);
    store_->files()->erase(ticket->slot, x);
  };
  auto writing = store_->begin_write(all[2]);
  auto reading = store_->begin_read(all[1]);
  erase(all[0].key);
  erase(all[1].key);
  EXPECT_FALSE(store_->drop(all[2].key)) << "there is nothing to erase yet";
  EXPECT_TRUE(store_->files()->write(writing->slot, all[2], writing->serial,
                                     bytes_of(all[2])));
  EXPECT_FALSE(store_->end_write(*writing, true));
  store_->end_read(*reading, kv_outcome::whole);
  EXPECT_EQ(num_got(all), 0u);
  EXPECT_EQ(store_->index().num_blocks(), 0u);
  put(all);
  erase(all[0].key);
  open(4);
  EXPECT_FALSE(get(all[0])) << "after a restart, too";
  EXPECT_TRUE(get(all[1]));
  auto other = chain(1000, 1)[0];
  auto slot = store_->begin_write(other)->slot;
  store_->files()->erase(slot, all[0].key); // late: another is there
}

TEST_F(KvStore, ChainsGoFromTheirEndsOldestFirst) {
  open(8);
  auto a = chain(0, 4), b = chain(1000, 4), c = chain(2000, 3);
  put(a);
  put(b);
  store_->touch(a.back().key);
  put(c); // for the last three of b
  EXPECT_EQ(store_->index().num_found(a), 4u);
  EXPECT_EQ(store_->index().num_found(b), 1u);
  EXPECT_EQ(store_->index().num_found(c), 3u);
  EXPECT_EQ(store_->index().num_evicted(), 3u);
}

TEST_F(KvStore, TheOrderOfAgeOutlivesARestart) {
  open(8);
  auto a = chain(0, 4), b = chain(1000, 2), longer = chain(0, 6);
  put(a);
  put(b);
  put(longer); // its beginning is needed again
  open(8);
  put(chain(3000, 3));
  EXPECT_EQ(store_->index().num_found(b), 0u);
  EXPECT_EQ(store_->index().num_found(longer), 5u);
}

TEST_F(KvStore, ABoundThatShrankHolds) {
  open(64);
  put(chain(0, 60));
  store_.reset();
  auto size = [this] {
    uint64_t out = 0;
    for (auto& x : std::filesystem::recursive_directory_iterator{dir_})
      out += x.is_regular_file() ? x.file_size() : 0;
    return out;
  };
  EXPECT_GT(size(), 60 * slot_bytes);
  open(20);
  EXPECT_LE(store_->index().num_blocks(), 20u);
  EXPECT_LE(size(), 20 * slot_bytes + (3 * 4096));
  EXPECT_EQ(num_got(chain(0, 60)), 20u);
}

TEST_F(KvStore, ADirectoryHasOneOwnerAndOthersMoveBeside) {
  open();
  auto all = chain(0, 3);
  put(all);
  auto second = kv_store::open(options());
  ASSERT_TRUE(second) << second.why().message;
  EXPECT_NE((*second)->path(), store_->path());
  EXPECT_EQ((*second)->index().num_blocks(), 0u);
  second = kv_store::open(options()); // the place that the second had
  ASSERT_TRUE(second);
  EXPECT_EQ(num_got(all), 3u);
}

/// Who starts, too, has the locks of others for a moment.
TEST_F(KvStore, WhoStartsWaitsForWhoLooksAround) {
  open();
  auto path = store_->path();
  store_.reset();
  auto root = ::open(dir_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  auto lock = ::open((path / "lock").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(root, LOCK_EX | LOCK_NB), 0);
  ASSERT_EQ(::flock(lock, LOCK_EX | LOCK_NB), 0);
  auto next = std::async(std::launch::async,
                         [this] { return kv_store::open(options()); });
  // Time for it to go elsewhere, if it did.
  static_cast<void>(next.wait_for(std::chrono::milliseconds{100}));
  ::close(lock);
  ::close(root);
  auto made = next.get();
  ASSERT_TRUE(made) << made.why().message;
  EXPECT_EQ((*made)->path(), path) << "its own";
}

/// As one who makes room does it: what somebody uses is left alone.
TEST_F(KvStore, AStoreIsItsOwnersWhileOthersRemoveIdleOnes) {
  open();
  auto path = store_->path();
  auto x = chain(0, 1)[0];
  std::atomic<bool> is_over{false};
  std::thread remover{[&] {
    while (!is_over) {
      auto lock = ::open((path / "lock").c_str(), O_RDWR | O_CLOEXEC);
      if (lock < 0)
        continue;
      if (::flock(lock, LOCK_EX | LOCK_NB) == 0) {
        ::unlink((path / "blocks-00000000").c_str());
        ::unlink((path / "lock").c_str());
        ::rmdir(path.c_str());
      }
      ::close(lock);
    }
  }};
  for (int i = 0; i < 1000 && !HasFailure(); ++i) {
    open();
    EXPECT_TRUE(store_ && put(x)) << i;
  }
  is_over = true;
  remover.join();
}

TEST_F(KvStore, StoresThatNobodyUsesGoWhenTheirRoomIsWanted) {
  identity_ = identity_of("another model");
  open(20);
  put(chain(0, 10, "", identity_));
  auto other = store_->path();
  identity_ = identity_of("model");
  open(20);
  EXPECT_TRUE(std::filesystem::exists(other));
  put(chain(0, 5));
  EXPECT_TRUE(std::filesystem::exists(other)) << "both have room";
  put(chain(0, 14));
  EXPECT_FALSE(std::filesystem::exists(other));
  EXPECT_EQ(num_got(chain(0, 14)), 14u);
}

/// Beside a map that forgets nothing: what the store says is what the map has,
/// and where there is room for all it says everything, whatever is begun in
/// between and however often it is opened again.
TEST_F(KvStore, SaysWhatAMapSays) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random{seed};
    std::filesystem::remove_all(dir_);
    std::vector<std::vector<kv_block>> chains;
    for (int i = 0; i < 4; ++i)
      chains.push_back(chain(int32_t(random() % 1000) * 10'000,
                             uint32_t(1 + random() % 12), i % 2 ? "salt" : ""));
    auto room = seed % 2 ? 64 : 4 + random() % 20;
    open(room);
    std::map<std::string, std::vector<std::byte>> twin;
    for (int i = 0; i < 200; ++i) {
      auto& of = chains[random() % chains.size()];
      auto& x = of[random() % of.size()];
      auto is_there = twin.contains(to_string(x.key));
      switch (random() % 16) {
        case 0:
          open(room);
          break;
        case 1:
          store_->touch(x.key);
          break;
        case 2: // the disk says no
          if (auto ticket = store_->begin_write(x))
            store_->end_write(*ticket, false);
          break;
        case 3: // all of a chain
          for (auto& y : of) {
            // What a block stands on does not go for its sake.
            ASSERT_TRUE(put(y) || room < of.size());
            twin[to_string(y.key)] = bytes_of(y);
          }
          break;
        case 4:
        case 5:
          ASSERT_TRUE(put(x) || room < of.size());
          twin[to_string(x.key)] = bytes_of(x);
          break;
        default:
          std::vector<std::byte> out(block_bytes);
          auto found = store_->get(x, out);
          ASSERT_TRUE(!found || out == twin.at(to_string(x.key)));
          ASSERT_TRUE(found || !is_there || room < 64);
      }
      ASSERT_LE(store_->index().num_blocks(), room);
    }
  }
}

TEST(KvIndex, SaysWhetherABlockWouldBeFound) {
  kv_index index{2};
  kv_block first, next;
  first.before.bytes[0] = std::byte{9}; // a root
  first.key.bytes[0] = std::byte{1};
  next.before = first.key;
  next.depth = 1;
  EXPECT_TRUE(index.has_before(first));
  EXPECT_FALSE(index.has_before(next));
  auto slot = index.begin_write(first);
  EXPECT_TRUE(index.has_before(next)) << "it is on its way";
  index.end_write(*slot, false);
  EXPECT_FALSE(index.has_before(next));
}

TEST(KvIndex, WhatIsAbandonedMayBeWrittenElsewhere) {
  kv_index index{2};
  kv_block x;
  auto first = index.begin_write(x);
  ASSERT_TRUE(first);
  EXPECT_FALSE(index.begin_write(x)) << "it is on its way";
  index.abandon(*first);
  EXPECT_FALSE(index.has(x.key));
  auto second = index.begin_write(x);
  ASSERT_TRUE(second);
  EXPECT_NE(*second, *first) << "somebody may still write there";
  EXPECT_TRUE(index.end_write(*second, true));
  EXPECT_FALSE(index.end_write(*first, true)) << "late";
  EXPECT_EQ(index.num_blocks(), 1u);
  EXPECT_EQ(index.begin_read(x.key), second);
  kv_block other;
  other.key.bytes[0] = std::byte{1};
  EXPECT_EQ(index.begin_write(other), first);
}

/// Against a list in order of age, of blocks that follow no others.
TEST(KvIndex, ForgetsWhoWasOfNoUseLongest) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random{seed};
    auto room = 1 + random() % 20;
    kv_index index{room};
    std::list<int> want; // oldest first
    kv_chain names{identity_of("x")};
    for (int i = 0; i < 2000; ++i) {
      auto n = int(random() % (2 * room));
      kv_block x;
      x.tokens[0] = n;
      x.key = kv_chain::next(names.root(""), x.tokens, 0);
      auto is_known = std::ranges::find(want, n) != want.end();
      ASSERT_EQ(index.has(x.key), is_known);
      want.remove(n);
      if (auto slot = index.begin_write(x)) {
        ASSERT_FALSE(is_known);
        auto ok = random() % 8 > 0;
        index.end_write(*slot, ok);
        if (want.size() == room)
          want.pop_front();
        if (!ok)
          continue;
      }
      want.push_back(n);
      ASSERT_EQ(index.num_blocks(), want.size());
    }
  }
}

} // namespace

} // namespace troupe
