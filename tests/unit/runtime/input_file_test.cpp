#include "runtime/checkpoint/input_file.hpp"

#include "tests/model_files.hpp"

#include <gtest/gtest.h>

#include <sys/stat.h>

namespace troupe {
namespace {

namespace fs = std::filesystem;

std::string read(const input_file& file, uint64_t offset, size_t size) {
  std::string out(size, '-');
  auto ok = file.read(offset, std::as_writable_bytes(std::span{out}));
  return ok ? out : ok.why().message;
}

TEST(InputFile, ReadsAnyPlace) {
  auto path = scratch_dir() / "f";
  write_text(path, "0123456789");
  auto file = *input_file::open(path);
  EXPECT_EQ(file.size(), 10u);
  EXPECT_EQ(read(file, 0, 10), "0123456789");
  EXPECT_EQ(read(file, 7, 3), "789");
  EXPECT_EQ(read(file, 10, 0), "");
}

TEST(InputFile, ShowsWhatItReadsPieceByPieceWhereSomebodyWantsToSee) {
  auto path = scratch_dir() / "f";
  std::string text(300'001, ' ');
  for (size_t i = 0; i < text.size(); ++i)
    text[i] = char('a' + i % 23);
  write_text(path, text);
  auto file = *input_file::open(path);
  std::string out(text.size() - 2, '-'), seen;
  size_t pieces = 0;
  auto ok = file.read(1, std::as_writable_bytes(std::span{out}), [&](auto x) {
    seen.append(reinterpret_cast<const char*>(x.data()), x.size());
    EXPECT_TRUE(x.size() % 1024 == 0 || seen.size() == out.size());
    ++pieces;
  });
  ASSERT_TRUE(ok) << ok.why().message;
  EXPECT_EQ(out, text.substr(1, out.size()));
  EXPECT_EQ(seen, out);
  EXPECT_EQ(pieces, 3u);
}

TEST(InputFile, SaysWhatCannotBeRead) {
  auto dir = scratch_dir();
  EXPECT_EQ(input_file::open(dir / "none").why().code, errc::not_found);
  EXPECT_EQ(input_file::open(dir).why().code, errc::io);
  write_text(dir / "empty", "");
  EXPECT_EQ(input_file::open(dir / "empty")->size(), 0u);
}

TEST(InputFile, DoesNotWaitForTheOtherEndOfAPipe) {
  auto path = scratch_dir() / "pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(input_file::open(path).why().message,
            path.string() + " is no regular file");
}

TEST(InputFile, NoticesWhateverChangesIt) {
  auto dir = scratch_dir();
  auto path = dir / "f";
  auto expect_changed = [&](const input_file& file) {
    auto why = path.string() + " changed while it was read";
    EXPECT_EQ(read(file, 0, 8), why);
    EXPECT_EQ(file.check_unchanged().why().message, why);
  };
  write_text(path, "01234567");
  auto file = *input_file::open(path);
  EXPECT_TRUE(file.check_unchanged());
  fs::resize_file(path, 4); // cut off
  expect_changed(file);
  write_text(path, "01234567");
  file = *input_file::open(path);
  write_text(path, "0123456789"); // grown
  expect_changed(file);
  file = *input_file::open(path);
  fs::last_write_time(path, fs::last_write_time(path) // written to
                              + std::chrono::seconds{1});
  expect_changed(file);
  file = *input_file::open(path);
  write_text(dir / "g", "0123456789");
  fs::last_write_time(dir / "g", fs::last_write_time(path));
  fs::rename(dir / "g", path); // another one of the same size and time
  expect_changed(file);
  fs::remove(path);
  EXPECT_EQ(file.check_unchanged().why().code, errc::not_found);
}

} // namespace
} // namespace troupe
