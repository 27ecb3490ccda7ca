#include "runtime/cluster/memory_room.hpp"

#include "kernels/device.hpp"
#include "tests/model_files.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t gib = 1 << 30;

TEST(MemoryRoom, ReadsWhatTheMachineHasFree) {
  EXPECT_EQ(parse_available("MemTotal:       24690096 kB\n"
                            "MemFree:         1000000 kB\n"
                            "MemAvailable:    2000000 kB\n"),
            2'000'000ull * 1024);
  EXPECT_FALSE(parse_available("MemTotal: 24690096 kB\n"));
  EXPECT_FALSE(parse_available("MemAvailable:\n"));
  EXPECT_FALSE(parse_available("MemAvailable: much\n"));
  EXPECT_FALSE(parse_available(""));
}

TEST(MemoryRoom, AGroupLeavesItsLimitLessWhatIsUsedAndNoCache) {
  EXPECT_EQ(room_of({"1000\n", "600\n", ""}), 400u);
  EXPECT_EQ(room_of({"1000\n", "600\n",
                     "anon 100\ninactive_file 300\nactive_file 50\n"}),
            750u);
  EXPECT_EQ(room_of({"1000\n", "600\n", "inactive_file 900\n"}), 1000u);
  EXPECT_EQ(room_of({"1000\n", "1200\n", ""}), 0u);
  EXPECT_FALSE(room_of({"max\n", "600\n", ""}));
  EXPECT_FALSE(room_of({"", "", ""}));
}

/// A system as its files tell of it.
class System : public testing::Test {
protected:
  System() {
    write("proc/meminfo", "MemTotal: 16777216 kB\n"      // 16 GiB
                          "MemAvailable: 8388608 kB\n"); // 8 GiB
  }

  void write(const std::string& file, const std::string& text) {
    fs::create_directories((root_ / file).parent_path());
    write_text(root_ / file, text);
  }

  std::optional<uint64_t> available() const {
    return memory_room{false, root_}.available();
  }

  fs::path root_ = scratch_dir();
};

using MemoryRoomOf = System;

TEST_F(MemoryRoomOf, AMachineWithoutGroupsIsWhatIsFree) {
  EXPECT_EQ(available(), 8 * gib);
  write("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(available(), 8 * gib);
}

TEST_F(MemoryRoomOf, AContainerIsWhatItsGroupLeaves) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/memory.max", "2147483648\n");
  write("sys/fs/cgroup/memory.current", "1073741824\n");
  EXPECT_EQ(available(), gib);
}

TEST_F(MemoryRoomOf, AGroupInAGroupIsWhatTheTighterOneLeaves) {
  write("proc/self/cgroup", "0::/outer/inner\n");
  write("sys/fs/cgroup/outer/inner/memory.max", "max\n");
  write("sys/fs/cgroup/outer/inner/memory.current", "5\n");
  write("sys/fs/cgroup/outer/memory.max", "3221225472\n");
  write("sys/fs/cgroup/outer/memory.current", "2147483648\n");
  write("sys/fs/cgroup/outer/memory.stat", "inactive_file 1073741824\n");
  EXPECT_EQ(available(), 2 * gib);
}

TEST_F(MemoryRoomOf, AnOlderSystemHasAHierarchyOfItsOwnForMemory) {
  write("proc/self/cgroup", "9:cpu,cpuacct:/a\n4:memory:/a\n");
  write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1073741824\n");
  write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "0\n");
  EXPECT_EQ(available(), gib);
}

TEST_F(MemoryRoomOf, SaysWhatWasAskedForAndWhatThereIs) {
  memory_room room{false, root_};
  EXPECT_TRUE(room.check("x", 8 * gib));
  auto no = room.check("the cache", 8 * gib + 1);
  ASSERT_FALSE(no);
  EXPECT_EQ(no.why().code, errc::out_of_memory);
  EXPECT_EQ(no.why().message,
            "the cache needs 8.6 GB of memory, and there are 8.6 GB; "
            "--allow-overcommit starts nevertheless");
  EXPECT_TRUE((memory_room{true, root_}.check("the cache", 100 * gib)));
  fs::remove(root_ / "proc/meminfo"); // who knows nothing says nothing
  EXPECT_TRUE(room.check("the cache", 100 * gib));
}

TEST_F(MemoryRoomOf, WhatOthersOfItsKindWerePromisedIsNotThere) {
  auto add = [&](const std::string& pid, const char* exe, uint64_t data_kib,
                 uint64_t used_kib) {
    write("proc/" + pid + "/status", "VmData: " + std::to_string(data_kib)
                                       + " kB\nRssAnon:\t "
                                       + std::to_string(used_kib) + " kB\n");
    fs::create_symlink(exe, root_ / "proc" / pid / "exe");
  };
  fs::create_directories(root_ / "proc/self");
  fs::create_symlink("/bin/troupe", root_ / "proc/self/exe");
  add("10", "/bin/troupe", 1048576, 0);       // 1 GiB, not used
  add("11", "/bin/troupe", 4194304, 3145728); // 1 GiB of 4 not used
  add("12", "/bin/browser", 999999999, 0);    // promised for nothing
  add("13", "/bin/troupe", 1000, 2000);
  write("proc/14/status", "no process of ours to be seen");
  EXPECT_EQ(available(), 6 * gib);
  EXPECT_FALSE((memory_room{false, root_}.check("x", 7 * gib)));
  add("15", "/bin/troupe", 1048576000, 0); // with a sanitizer
  EXPECT_EQ(available(), 6 * gib);
  add("16", "/bin/troupe", 8388608, 0);
  EXPECT_EQ(available(), 0u);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

TEST(MemoryRoom, SeesWhatThisProcessWasPromised) {
  memory_room room;
  auto before = room.available();
  ASSERT_TRUE(before);
  auto dev = kernels::make_reference_device(0);
  auto mem = *dev->allocate(*before / 2); // not touched
  auto after = room.available();
  EXPECT_LT(*after, *before - *before / 4);
  dev->free(mem);
}

#endif

} // namespace
} // namespace troupe
