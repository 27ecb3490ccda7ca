#pragma once

/// Where tests find models and where they may write.

#include "tests/places.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace troupe {

/// A case of the golden data: a model directory with golden files in it.
inline std::filesystem::path golden_case(const std::string& name) {
  return source_dir() / "tests/data/golden" / name;
}

inline std::filesystem::path nano_dir() {
  return source_dir() / "examples/nano";
}

/// An empty directory of the running test's own.
inline std::filesystem::path scratch_dir() {
  auto test = testing::UnitTest::GetInstance()->current_test_info();
  auto name = std::string{test->test_suite_name()} + "." + test->name();
  for (auto& c : name)
    if (c == '/')
      c = '_';
  auto dir = binary_dir() / "scratch" / name;
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  return dir;
}

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

inline void write_text(const std::filesystem::path& path,
                       std::string_view text) {
  std::ofstream out{path, std::ios::binary};
  out << text;
}

} // namespace troupe
