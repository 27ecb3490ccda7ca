/// Every kept input, once more, in every build: what fuzzing has found stays
/// found, also where there is no clang.

#include "kernels/check.hpp"
#include "tests/fuzz/target.hpp"
#include "tests/places.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

namespace troupe::fuzz {

namespace {

namespace fs = std::filesystem;

const fs::path corpus = source_dir() / "tests/fuzz/corpus";

std::string content_of(const fs::path& path) {
  std::ifstream in{path, std::ios::binary};
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<fs::path> inputs_of(const target& x) {
  std::vector<fs::path> out;
  for (auto& entry : fs::directory_iterator{corpus / x.name})
    out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

class Corpus : public testing::TestWithParam<target> {};

TEST_P(Corpus, EveryKeptInputIsReadOrRefused) {
  auto inputs = inputs_of(GetParam());
  ASSERT_GE(inputs.size(), 3u);
  for (auto& path : inputs) {
    SCOPED_TRACE(path.string());
    check_context context{path.c_str()};
    GetParam().run(content_of(path));
  }
}

TEST_P(Corpus, EveryKeptInputMayEndAnywhere) {
  for (auto& path : inputs_of(GetParam())) {
    check_context context{path.c_str()};
    auto all = content_of(path);
    auto step = all.size() / 16 + 1; // not all of them: that takes too long
    for (size_t size = 0; size < all.size(); size += step)
      GetParam().run(std::string_view{all}.substr(0, size));
  }
}

INSTANTIATE_TEST_SUITE_P(, Corpus, testing::ValuesIn(targets),
                         [](const auto& x) {
                           return std::string{x.param.name};
                         });

TEST(Corpora, BelongToTargetsAndHaveSmallFiles) {
  std::set<std::string> names, folders;
  for (auto& x : targets)
    names.insert(x.name);
  EXPECT_EQ(names.size(), std::size(targets)) << "two have the same name";
  for (auto& folder : fs::directory_iterator{corpus}) {
    folders.insert(folder.path().filename());
    for (auto& file : fs::directory_iterator{folder.path()})
      EXPECT_LE(file.file_size(), 8u << 10) << file.path();
  }
  EXPECT_EQ(folders, names);
}

} // namespace

} // namespace troupe::fuzz
