#include "runtime/cluster/state_store.hpp"
#include "tests/model_files.hpp"

#include <gtest/gtest.h>

#include <fstream>

using namespace troupe;

namespace {

cluster_state some_state(uint32_t view = 7) {
  cluster_state out;
  out.cluster = "troupe";
  out.view = view;
  out.units = {{"main", unit_role::both, 3, {std::byte{1}, std::byte{0xff}}},
               {"more", unit_role::prefill, 1, {}}};
  out.slots = {{"front", 1, "127.0.0.1", 4000, member_state::serving, false},
               {"b",
                UINT64_MAX,
                "::1",
                65535,
                member_state::absent,
                true,
                {2, 3, {"main", "more"}, true}}};
  return out;
}

/// The system's files, of which the one operation with this number fails.
class failing_files final : public state_files {
public:
  explicit failing_files(int nth) : left_(nth) {
  }

  result<void> lock(const std::filesystem::path& dir) override {
    return fails() ? result<void>{why()} : real_->lock(dir);
  }

  result<std::optional<std::vector<std::byte>>>
  read(const std::filesystem::path& file) override {
    if (fails())
      return why();
    return real_->read(file);
  }

  /// Half of it is there.
  result<void> write(const std::filesystem::path& file,
                     std::span<const std::byte> bytes) override {
    if (!fails())
      return real_->write(file, bytes);
    (void)real_->write(file, bytes.first(bytes.size() / 2));
    return why();
  }

  result<void> flush(const std::filesystem::path& what) override {
    return fails() ? result<void>{why()} : real_->flush(what);
  }

  result<void> rename(const std::filesystem::path& from,
                      const std::filesystem::path& to) override {
    return fails() ? result<void>{why()} : real_->rename(from, to);
  }

  bool has_failed() const {
    return left_ < 0;
  }

private:
  bool fails() {
    return left_-- == 0;
  }

  static failure why() {
    return {errc::io, "the disk is full"};
  }

  int left_;
  std::unique_ptr<state_files> real_ = make_state_files();
};

std::vector<char> bytes_of(const std::filesystem::path& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

void put(const std::filesystem::path& file, const std::vector<char>& bytes) {
  std::ofstream out{file, std::ios::binary};
  out.write(bytes.data(), std::streamsize(bytes.size()));
}

} // namespace

TEST(ClusterState, IsReadAsItWasWritten) {
  auto x = some_state();
  x.revision = UINT64_MAX;
  auto back = decode_cluster_state(encode(x));
  ASSERT_TRUE(back) << back.why().message;
  EXPECT_EQ(*back, x);
  EXPECT_EQ(*decode_cluster_state(encode({})), cluster_state{});
}

TEST(ClusterState, EveryTornOrRottenByteIsFound) {
  auto whole = encode(some_state());
  for (size_t n = 0; n < whole.size(); ++n)
    EXPECT_FALSE(decode_cluster_state(std::span{whole}.first(n))) << n;
  for (size_t i = 0; i < whole.size(); ++i) {
    auto rotten = whole;
    rotten[i] ^= std::byte{0x10};
    EXPECT_FALSE(decode_cluster_state(rotten)) << i;
  }
  auto longer = whole;
  longer.resize(whole.size() + 8);
  EXPECT_FALSE(decode_cluster_state(longer));
}

TEST(StateStore, KeepsWhatWasSetByWhoHasSeenTheLast) {
  auto dir = scratch_dir() / "new" / "dir";
  for (auto is_file : {false, true}) {
    SCOPED_TRACE(is_file);
    auto store = make_memory_store();
    if (is_file)
      store = std::move(*open_state_dir(dir));
    EXPECT_FALSE(store->last());
    EXPECT_FALSE(store->compare_and_set(1, some_state()));
    ASSERT_TRUE(store->compare_and_set(0, some_state()));
    EXPECT_EQ(store->last()->revision, 1u);
    auto late = store->compare_and_set(0, some_state(9));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.why().code, errc::refused);
    EXPECT_EQ(store->last()->view, 7u);
    ASSERT_TRUE(store->compare_and_set(1, some_state(8)));
    EXPECT_EQ(store->last()->view, 8u);
  }
  auto again = open_state_dir(dir);
  ASSERT_TRUE(again) << again.why().message;
  auto expected = some_state(8);
  expected.revision = 2;
  EXPECT_EQ((*again)->last(), expected);
}

TEST(StateStore, ADirectoryHasOneOwner) {
  auto dir = scratch_dir();
  auto first = open_state_dir(dir);
  ASSERT_TRUE(first);
  auto second = open_state_dir(dir);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.why().code, errc::refused);
  EXPECT_EQ(second.why().message,
            dir.string()
              + " is the state of a cluster whose first node runs; "
                "it can be that of one alone");
  first->reset();
  EXPECT_TRUE(open_state_dir(dir));
}

TEST(StateStore, SaysInASentenceThatItsFileIsDamaged) {
  auto dir = scratch_dir();
  ASSERT_TRUE((*open_state_dir(dir))->compare_and_set(0, some_state()));
  auto bytes = bytes_of(dir / "cluster_state");
  auto rotten = bytes;
  rotten[40] ^= 1;
  put(dir / "cluster_state", rotten);
  auto opened = open_state_dir(dir);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.why().message,
            (dir / "cluster_state").string()
              + " is damaged (its checksum is wrong): without it the cluster "
                "begins anew, with what it was started with");
  bytes.resize(bytes.size() / 2);
  put(dir / "cluster_state", bytes);
  EXPECT_FALSE(open_state_dir(dir));
}

TEST(StateStore, WhicheverOperationFailsTheLastStateIsThereOrTheNext) {
  auto dir = scratch_dir();
  ASSERT_TRUE((*open_state_dir(dir))->compare_and_set(0, some_state(1)));
  auto has_failed = true;
  int nth = 0;
  for (; has_failed; ++nth) {
    SCOPED_TRACE(nth);
    auto before = (*open_state_dir(dir))->last()->view;
    auto files = std::make_unique<failing_files>(nth);
    auto& watched = *files;
    auto store = open_state_dir(dir, std::move(files));
    if (store) {
      auto revision = (*store)->last()->revision;
      auto kept = (*store)->compare_and_set(revision, some_state(before + 1));
      has_failed = watched.has_failed();
      EXPECT_EQ(bool(kept), !has_failed);
      EXPECT_EQ((*store)->last()->view, has_failed ? before : before + 1);
      if (!kept) { // what failed once may not fail again
        EXPECT_TRUE(
          (*store)->compare_and_set(revision, some_state(before + 1)));
      }
    }
    store = failure{errc::io, "closed"};
    auto after = open_state_dir(dir);
    ASSERT_TRUE(after) << after.why().message;
    EXPECT_GE((*after)->last()->view, before);
    EXPECT_LE((*after)->last()->view, before + 1);
  }
  EXPECT_EQ(nth, 7) << "lock, read, write, flush, rename, flush, none";
}
