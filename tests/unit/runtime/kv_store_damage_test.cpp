/// Ways to damage the files of a store: what is damaged is a miss, what is not
/// is found, and nothing that is wrong is ever handed out.

#include "tests/unit/runtime/kv_store_fixture.hpp"

#include <csignal>
#include <functional>
#include <random>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace troupe {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t headers = 8 * kv_record::header_bytes; // of a file

std::string read_file(const fs::path& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

void write_file_over(const fs::path& path, const std::string& text) {
  std::ofstream out{path, std::ios::binary | std::ios::trunc};
  out << text;
}

class KvDamage : public KvStore {
protected:
  /// 12 blocks in two files: 0 to 7 and 8 to 11.
  void SetUp() override {
    open();
    put(all_);
  }

  using edit = std::function<void(std::string&)>;

  void change(const edit& how, uint32_t number = 0) {
    auto text = read_file(file(number));
    how(text);
    write_file_over(file(number), text);
  }

  static uint64_t block_at(uint32_t i) {
    return headers + i * slot_bytes;
  }

  static uint64_t header_at(uint32_t i) {
    return i * kv_record::header_bytes;
  }

  /// These alone are not found, neither by this process nor by the next.
  void expect_lost(const std::set<uint32_t>& lost) {
    auto path = dir_.string() + ".again";
    fs::remove_all(path);
    fs::copy(dir_, path, fs::copy_options::recursive);
    expect_lost_now(lost, "at once");
    expect_whole_again();
    store_.reset();
    fs::remove_all(dir_);
    fs::rename(path, dir_);
    open();
    expect_lost_now(lost, "after a restart");
    expect_whole_again();
  }

  void expect_lost_now(const std::set<uint32_t>& lost, const char* when) {
    for (uint32_t i = 0; i < all_.size(); ++i)
      EXPECT_EQ(get(all_[i]), !lost.contains(i)) << i << " " << when;
  }

  /// What was lost is computed again, and kept.
  void expect_whole_again() {
    put(all_);
    EXPECT_EQ(num_got(all_), all_.size());
  }

  std::vector<kv_block> all_ = chain(0, 12);
  std::set<uint32_t> of_file_0_{0, 1, 2, 3, 4, 5, 6, 7};
};

TEST_F(KvDamage, FlippedBitInABlock) {
  change([](auto& x) { x[block_at(3) + 4'999] ^= 1; });
  expect_lost({3});
}

TEST_F(KvDamage, FlippedBitInAHeader) {
  change([](auto& x) { x[header_at(3) + 150] ^= 16; });
  expect_lost({3});
}

TEST_F(KvDamage, FlippedBitBehindABlockMattersToNobody) {
  change([](auto& x) { x[block_at(3) + block_bytes] ^= 1; });
  expect_lost({});
}

TEST_F(KvDamage, CutOffWithinABlock) {
  fs::resize_file(file(), block_at(5) + 100);
  expect_lost({5, 6, 7});
}

TEST_F(KvDamage, CutOffWithinTheHeaders) {
  fs::resize_file(file(), header_at(2) + 100);
  expect_lost(of_file_0_);
}

TEST_F(KvDamage, Empty) {
  fs::resize_file(file(), 0);
  expect_lost(of_file_0_);
}

TEST_F(KvDamage, SwappedBlocks) {
  change([](auto& x) {
    std::swap_ranges(&x[block_at(1)], &x[block_at(1)] + block_bytes,
                     &x[block_at(2)]);
  });
  expect_lost({1, 2});
}

TEST_F(KvDamage, SwappedHeaders) {
  change([](auto& x) {
    std::swap_ranges(&x[header_at(1)], &x[header_at(1)] + 512,
                     &x[header_at(2)]);
  });
  expect_lost({1, 2});
}

/// Each is whole where it is now: found after a restart, not before.
TEST_F(KvDamage, ReorderedBlocksWithTheirHeaders) {
  change([](auto& x) {
    std::swap_ranges(&x[header_at(1)], &x[header_at(1)] + 512,
                     &x[header_at(2)]);
    std::swap_ranges(&x[block_at(1)], &x[block_at(1)] + block_bytes,
                     &x[block_at(2)]);
  });
  auto copy = dir_.string() + ".copy";
  fs::copy(dir_, copy, fs::copy_options::recursive);
  expect_lost_now({1, 2}, "at once");
  store_.reset();
  fs::remove_all(dir_);
  fs::rename(copy, dir_);
  open();
  expect_lost_now({}, "after a restart");
}

TEST_F(KvDamage, ABlockOfAnotherInItsPlace) {
  change([](auto& x) {
    x.replace(block_at(1), block_bytes, x, block_at(6), block_bytes);
  });
  expect_lost({1});
}

TEST_F(KvDamage, TwiceTheSame) {
  change([](auto& x) {
    x.replace(header_at(1), 512, x, header_at(6), 512);
    x.replace(block_at(1), block_bytes, x, block_at(6), block_bytes);
  });
  expect_lost({1});
}

TEST_F(KvDamage, ZeroedBlock) {
  change([](auto& x) { x.replace(block_at(4), slot_bytes, slot_bytes, '\0'); });
  expect_lost({4});
}

TEST_F(KvDamage, ZeroedHeader) {
  change([](auto& x) { x.replace(header_at(4), 512, 512, '\0'); });
  expect_lost({4});
}

TEST_F(KvDamage, ZeroedFile) {
  change([](auto& x) { x.assign(x.size(), '\0'); });
  expect_lost(of_file_0_);
}

TEST_F(KvDamage, TheHeadersAreLost) {
  change([](auto& x) { x.replace(0, headers, headers, '\xff'); });
  expect_lost(of_file_0_);
}

TEST_F(KvDamage, AFileIsGone) {
  fs::remove(file());
  expect_lost(of_file_0_);
}

/// Blocks are what their headers say wherever they lie.
TEST_F(KvDamage, FilesChangedTheirNames) {
  auto aside = file().string() + ".aside";
  fs::rename(file(0), aside);
  fs::rename(file(1), file(0));
  fs::rename(aside, file(1));
  auto copy = dir_.string() + ".copy";
  fs::copy(dir_, copy, fs::copy_options::recursive);
  EXPECT_EQ(num_got(all_), 0u);
  store_.reset();
  fs::remove_all(dir_);
  fs::rename(copy, dir_);
  open();
  EXPECT_EQ(num_got(all_), 12u);
}

TEST_F(KvDamage, AnOlderStateOfTheFile) {
  auto old = read_file(file());
  open(12); // its places are all taken
  auto newer = chain(9000, 3);
  put(newer); // instead of the last ones of the chain
  EXPECT_EQ(store_->index().num_found(all_), 9u);
  write_file_over(file(), old);
  EXPECT_EQ(num_got(all_), 8u + get(all_[8]));
  EXPECT_LE(num_got(newer), 3u);
}

/// As if the process had been killed between any two of its writes.
TEST_F(KvDamage, HalfWrittenAtEveryPlace) {
  auto more = chain(5000, 1)[0];
  store_.reset();
  auto copy = dir_.string() + ".copy";
  fs::copy(dir_, copy, fs::copy_options::recursive);
  open();
  auto before = read_file(file(1));
  auto slot = store_->begin_write(more)->slot;
  ASSERT_EQ(slot, 12u);
  open();
  ASSERT_TRUE(put(more));
  auto after = read_file(file(1));
  auto at = block_at(4);
  for (uint64_t n : {1ul, 100ul, 4096ul, 4999ul, 5000ul}) {
    SCOPED_TRACE(n);
    auto torn = before;
    torn.resize(after.size());
    torn.replace(at, n, after, at, n);
    write_file_over(file(1), torn);
    open();
    EXPECT_FALSE(get(more));
    EXPECT_EQ(num_got(all_), 12u);
    // The header was there first.
    torn.replace(header_at(4), 512, after, header_at(4), 512);
    write_file_over(file(1), torn);
    open();
    EXPECT_EQ(get(more), n == 5000);
    EXPECT_EQ(num_got(all_), 12u);
    // Or half of it.
    auto half = before;
    half.replace(header_at(4), 256, after, header_at(4), 256);
    write_file_over(file(1), half);
    open();
    EXPECT_FALSE(get(more));
    EXPECT_EQ(num_got(all_), 12u);
  }
}

/// A block was being replaced: the old one is no more, the new one not yet.
TEST_F(KvDamage, HalfReplaced) {
  change([](auto& x) {
    auto other = bytes_of(chain(7000, 1)[0]);
    std::memcpy(&x[block_at(7)], other.data(), 3000);
  });
  expect_lost({7});
}

TEST_F(KvDamage, OfAnotherLength) {
  store_.reset();
  auto other = options();
  other.block_bytes = 5'001; // in slots of one size
  auto made = kv_store::open(other);
  ASSERT_TRUE(made);
  store_ = std::move(*made);
  EXPECT_EQ(store_->index().num_blocks(), 0u);
  EXPECT_EQ(store_->num_damaged(), 12u);
}

/// Files of one identity under the name of another.
TEST_F(KvDamage, OfAnotherModel) {
  auto from = store_->path();
  store_.reset();
  identity_ = identity_of("another model");
  open();
  auto to = store_->path();
  store_.reset();
  fs::remove_all(to);
  fs::rename(from, to);
  open();
  EXPECT_EQ(store_->index().num_blocks(), 0u);
  EXPECT_EQ(store_->num_damaged(), 12u);
  EXPECT_EQ(num_got(all_), 0u);
  EXPECT_EQ(num_got(chain(0, 12, "", identity_)), 0u);
}

TEST_F(KvDamage, OfAnotherTenant) {
  EXPECT_EQ(num_got(chain(0, 12, "salt")), 0u);
  EXPECT_EQ(num_got(all_), 12u);
}

/// A key that is right, of tokens or forms that are not: as if a hash had been
/// found twice.
TEST_F(KvDamage, OfOtherTokensOrFormsUnderTheSameKey) {
  auto x = all_[2];
  x.tokens[9] ^= 1;
  EXPECT_FALSE(get(x));
  open();
  x = all_[2];
  x.multi_head ^= 1;
  EXPECT_FALSE(get(x));
  open();
  x = all_[2];
  x.before = all_[5].key;
  EXPECT_FALSE(get(x));
  open();
  EXPECT_EQ(num_got(all_), 12u);
}

TEST_F(KvDamage, OfALaterVersion) {
  change([](auto& x) { x[header_at(0) + 8] = 2; });
  expect_lost({0});
}

TEST_F(KvDamage, ADirectoryALinkOrAPipeInPlaceOfAFile) {
  auto aside = file().string() + ".aside";
  fs::rename(file(), aside);
  fs::create_directory(file());
  EXPECT_EQ(num_got(all_), 4u);
  EXPECT_FALSE(put(all_[0]));
  fs::remove(file());
  fs::create_symlink(aside, file());
  open();
  EXPECT_FALSE(get(all_[0]));
  fs::remove(file());
  ASSERT_EQ(::mkfifo(file().c_str(), 0600), 0);
  open(); // and does not wait for a writer
  EXPECT_FALSE(get(all_[0]));
  EXPECT_FALSE(put(all_[0]));
  EXPECT_TRUE(get(all_[8]));
}

TEST_F(KvDamage, TheDirectoryIsGoneWhileItIsUsed) {
  fs::remove_all(store_->path());
  EXPECT_EQ(num_got(all_), 0u);
  auto ok = store_->put(all_[0], bytes_of(all_[0]));
  ASSERT_FALSE(ok);
  EXPECT_EQ(ok.why().code, errc::io);
  open();
  expect_whole_again();
}

/// The system writes up to a limit, as with a disk that is full.
TEST_F(KvDamage, FullDisk) {
  auto was = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto limit = before;
  limit.rlim_cur = block_at(4) + 3000; // within the next block
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  auto next = chain(5000, 1)[0];
  auto ok = store_->put(next, bytes_of(next));
  EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, was);
  ASSERT_FALSE(ok);
  EXPECT_EQ(ok.why().code, errc::io);
  EXPECT_FALSE(get(next));
  EXPECT_EQ(num_got(all_), 12u);
  open();
  EXPECT_FALSE(get(next));
  EXPECT_EQ(num_got(all_), 12u);
  EXPECT_TRUE(put(next));
}

TEST_F(KvDamage, NotToBeWritten) {
  auto is_root = ::geteuid() == 0;
  for (uint32_t i : {0u, 1u}) {
    ASSERT_EQ(::chmod(file(i).c_str(), 0444), 0);
    ASSERT_EQ(::chown(file(i).c_str(), is_root ? 65'534 : uid_t(-1), gid_t(-1)),
              0);
  }
  ASSERT_EQ(::chmod(store_->path().c_str(), 0555), 0);
  // What is open already needs no way to it.
  ASSERT_EQ(::seteuid(is_root ? 65'534 : ::geteuid()), 0);
  auto next = chain(5000, 1)[0];
  auto ok = store_->put(next, bytes_of(next));
  auto found = num_got(all_);
  ASSERT_EQ(::seteuid(is_root ? 0 : ::geteuid()), 0);
  ASSERT_FALSE(ok);
  EXPECT_NE(ok.why().message.find("cannot be written"), std::string::npos);
  EXPECT_EQ(found, 12u);
  ASSERT_EQ(::chmod(store_->path().c_str(), 0700), 0);
}

TEST_F(KvDamage, OpenToOthers) {
  store_.reset();
  ASSERT_EQ(::chmod(dir_.c_str(), 0770), 0);
  auto refused = kv_store::open(options());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.why().message.find("written by others"), std::string::npos);
  ASSERT_EQ(::chmod(dir_.c_str(), 0750), 0);
  open();
  EXPECT_EQ(num_got(all_), 12u);
}

TEST_F(KvDamage, NoPlaceForADirectory) {
  auto text = dir_ / "text";
  write_file_over(text, "text");
  auto x = options();
  x.dir = text;
  EXPECT_FALSE(kv_store::open(x));
  x.dir = text / "kv";
  EXPECT_FALSE(kv_store::open(x));
  x.dir = "/proc/kv";
  EXPECT_FALSE(kv_store::open(x));
}

TEST_F(KvDamage, ForeignFilesAreLeftAlone) {
  auto mine = store_->path() / "notes.txt";
  write_file_over(mine, "mine");
  write_file_over(store_->path() / "blocks-99999999", "text");
  write_file_over(store_->path() / "blocks-x", "text");
  open();
  EXPECT_EQ(num_got(all_), 12u);
  EXPECT_EQ(read_file(mine), "mine");
}

/// Whatever is changed wherever, nobody is told anything wrong.
TEST_F(KvDamage, AtRandom) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random{seed};
    open();
    put(all_);
    for (uint64_t i = random() % 8 + 1; i > 0; --i)
      change(
        [&](auto& x) {
          if (x.empty())
            return;
          auto at = random() % x.size(), n = 1 + random() % (x.size() - at);
          auto from = random() % x.size();
          switch (random() % 5) {
            case 0:
              x[at] ^= char(1 << random() % 8);
              break;
            case 1:
              x.resize(at);
              break;
            case 2:
              x.replace(at, n, n, char(random()));
              break;
            case 3:
              x.replace(at, n, x.substr(from, n));
              break;
            default:
              x.insert(at, x.substr(from, 1 + random() % 600));
          }
        },
        random() % 2);
    if (random() % 2)
      open();
    num_got(all_); // compares
    expect_whole_again();
  }
}

} // namespace

} // namespace troupe
