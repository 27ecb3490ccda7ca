#include "runtime/checkpoint/regular_file.hpp"

#include "tests/model_files.hpp"

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

namespace troupe {
namespace {

/// Why the file cannot be read.
failure why(const std::filesystem::path& path, uint64_t max_bytes = 100) {
  auto out = read_regular_file(path, max_bytes);
  return out ? failure{errc::invalid_input, "it was read"} : out.why();
}

TEST(RegularFile, IsReadWholeUpToItsLimit) {
  auto dir = scratch_dir();
  std::string text(1000, 'x');
  write_text(dir / "a", text);
  EXPECT_EQ(*read_regular_file(dir / "a", 1000), text);
  EXPECT_EQ(why(dir / "a", 999).code, errc::invalid_input);
  EXPECT_EQ(why(dir / "a", 999).message,
            (dir / "a").string() + " has more than 999 bytes");
  write_text(dir / "empty", "");
  EXPECT_EQ(*read_regular_file(dir / "empty", 0), "");
}

TEST(RegularFile, IsFollowedThroughLinks) {
  auto dir = scratch_dir();
  write_text(dir / "a", "x");
  std::filesystem::create_symlink("a", dir / "b");
  EXPECT_EQ(*read_regular_file(dir / "b", 100), "x");
}

TEST(RegularFile, IsNeitherAFifoNorADirectoryNorADevice) {
  auto dir = scratch_dir();
  auto fifo = dir / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  std::filesystem::create_symlink(fifo, dir / "link");
  for (auto path : {fifo, dir / "link", dir, std::filesystem::path{"/dev/null"},
                    std::filesystem::path{"/dev/zero"}}) {
    EXPECT_EQ(why(path).code, errc::io) << path;
    EXPECT_EQ(why(path).message, path.string() + " is no regular file");
  }
}

TEST(RegularFile, MayBeMissing) {
  auto dir = scratch_dir();
  write_text(dir / "file", "x");
  EXPECT_EQ(why(dir / "none").code, errc::not_found);
  EXPECT_EQ(why(dir / "file" / "below").code, errc::not_found);
  std::filesystem::create_symlink("nowhere", dir / "dangling");
  EXPECT_EQ(why(dir / "dangling").code, errc::not_found);
}

TEST(RegularFile, GivesADescriptorThatBelongsToTheCaller) {
  auto dir = scratch_dir();
  write_text(dir / "a", "x");
  auto fd = open_regular_file(dir / "a");
  ASSERT_TRUE(fd);
  char c = 0;
  EXPECT_EQ(::read(*fd, &c, 1), 1);
  EXPECT_EQ(c, 'x');
  EXPECT_EQ(::close(*fd), 0);
}

} // namespace
} // namespace troupe
