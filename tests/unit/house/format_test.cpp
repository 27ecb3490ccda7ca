/// .clang-format is the layout of the code: what it would change fails.

#include "tests/unit/house/source_tree.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <set>

using namespace troupe::house;

namespace {

/// Other versions lay out otherwise.
const std::string formatter = "clang-format-14";

/// Runs a command line at the root and returns what it says.
std::string output_of(const std::string& command) {
  auto line = "cd '" + source_dir().string() + "' && " + command + " 2>&1";
  auto pipe = popen(line.c_str(), "r");
  std::string out;
  char block[4096];
  while (auto size = fread(block, 1, sizeof block, pipe))
    out.append(block, size);
  pclose(pipe);
  return out;
}

/// The files that a run of the formatter complains of.
std::set<std::string> complaints_in(const std::string& text) {
  std::set<std::string> out;
  for (auto& line : split_lines(text))
    if (line.find("code should be clang-formatted") != line.npos)
      out.insert(line.substr(0, line.find(':')));
  return out;
}

} // namespace

TEST(Format, IsWhatTheFormatterMakes) {
  auto version = output_of(formatter + " --version");
  ASSERT_NE(version.find("version 14."), version.npos)
    << formatter << " is missing, deploy/install brings it: " << version;
  std::string command = formatter + " --dry-run";
  for (auto& file : read_tree())
    if (is_cpp(file))
      command += " '" + file.path + "'";
  for (auto& path : complaints_in(output_of(command)))
    ADD_FAILURE() << path << " is laid out otherwise: " << formatter << " -i "
                  << path;
}

TEST(Format, ComplaintsAreFoundByFile) {
  EXPECT_EQ(complaints_in("a/b.cpp:3:2: warning: code should be "
                          "clang-formatted [-Wclang-format-violations]\n"
                          "  int  x;\n"),
            std::set<std::string>{"a/b.cpp"});
}
