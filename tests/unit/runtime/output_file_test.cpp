#include "runtime/checkpoint/output_file.hpp"

#include "tests/model_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace troupe {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const fs::path& dir) {
  std::vector<std::string> out;
  for (auto& entry : fs::directory_iterator{dir})
    out.push_back(entry.path().filename());
  std::ranges::sort(out);
  return out;
}

using names = std::vector<std::string>;

TEST(OutputFile, IsThereWhenItIsWhole) {
  auto dir = scratch_dir();
  auto path = dir / "f";
  write_text(path, "old");
  std::string large(300'000, 'x');
  {
    output_file file{path};
    file.write("new ");
    file.write(large);
    file.pad(16);
    EXPECT_EQ(file.size() % 16, 0u);
    EXPECT_TRUE(file.status());
    EXPECT_EQ(read_text(path), "old");
    ASSERT_TRUE(file.close());
  }
  auto text = read_text(path);
  EXPECT_EQ(text.size() % 16, 0u);
  EXPECT_EQ(text.substr(0, 300'004), "new " + large);
  EXPECT_EQ(names_in(dir), names{"f"});
}

TEST(OutputFile, LeavesWhatThereWasUnlessItIsFinished) {
  auto dir = scratch_dir();
  write_text(dir / "f", "old");
  for (auto name : {"f", "g"}) {
    output_file file{dir / name};
    file.write(std::string(1 << 20, 'x'));
    EXPECT_TRUE(file.status());
  }
  EXPECT_EQ(names_in(dir), names{"f"});
  EXPECT_EQ(read_text(dir / "f"), "old");
}

TEST(OutputFile, KeepsTheModeOfWhatItReplaces) {
  auto path = scratch_dir() / "f";
  write_text(path, "old");
  fs::permissions(path, fs::perms{0640});
  ASSERT_TRUE(write_file(path, "new"));
  EXPECT_EQ(read_text(path), "new");
  EXPECT_EQ(fs::status(path).permissions(), fs::perms{0640});
}

TEST(OutputFile, FollowsLinksAndReplacesWhatTheyLeadTo) {
  auto dir = scratch_dir();
  fs::create_directory(dir / "real");
  write_text(dir / "real" / "f", "old");
  fs::create_symlink("real/f", dir / "link");
  ASSERT_TRUE(write_file(dir / "link", "new"));
  EXPECT_TRUE(fs::is_symlink(dir / "link"));
  EXPECT_EQ(read_text(dir / "real" / "f"), "new");
  EXPECT_EQ(names_in(dir / "real"), names{"f"});
}

TEST(OutputFile, ALinkToWhatIsNotThereYetLeadsThere) {
  auto dir = scratch_dir();
  fs::create_directory(dir / "real");
  fs::create_symlink("real/f", dir / "link");
  fs::create_symlink(dir / "link", dir / "further");
  ASSERT_TRUE(write_file(dir / "further", "new"));
  EXPECT_TRUE(fs::is_symlink(dir / "further"));
  EXPECT_TRUE(fs::is_symlink(dir / "link"));
  EXPECT_TRUE(fs::is_regular_file(dir / "real/f"));
}

TEST(OutputFile, ANameOfAnotherFileKeepsTheOldContent) {
  auto dir = scratch_dir();
  write_text(dir / "f", "old");
  fs::create_hard_link(dir / "f", dir / "other");
  ASSERT_TRUE(write_file(dir / "f", "new"));
  EXPECT_EQ(read_text(dir / "f"), "new");
  EXPECT_EQ(read_text(dir / "other"), "old");
}

TEST(OutputFile, SaysWhyItCannotBeWritten) {
  auto dir = scratch_dir();
  EXPECT_EQ(write_file(dir, "x").why().message,
            dir.string() + " cannot be written: Is a directory");
  auto lost = dir / "none" / "f";
  EXPECT_EQ(write_file(lost, "x").why().message,
            lost.string() + " cannot be written: No such file or directory");
}

} // namespace
} // namespace troupe
