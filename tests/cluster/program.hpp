#pragma once

/// The `troupe` binary as a user runs it: arguments in, output and exit status
/// out.

#include "tests/places.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace troupe::tests {

using troupe::source_dir;

struct outcome {
  int status = -1; ///< Exit status; 128 + signal.
  std::string out;
  std::string errors;
};

inline std::string nano() {
  return source_dir() / "examples/nano/model";
}

inline std::string quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text)
    out += c == '\'' ? std::string{"'\\''"} : std::string{c};
  return out + "'";
}

inline std::string content_of(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

/// A folder of its own that goes away with it.
class scratch_dir {
public:
  scratch_dir() {
    auto name
      = (std::filesystem::temp_directory_path() / "troupe-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }

  ~scratch_dir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const {
    return path_;
  }

private:
  std::filesystem::path path_;
};

/// Runs `troupe` with `args` and `input` on standard input until it ends.
inline outcome run_troupe(const std::vector<std::string>& args,
                          const std::string& input = "") {
  scratch_dir scratch;
  auto file = [&](const char* name) {
    return (scratch.path() / name).string();
  };
  std::ofstream{file("in"), std::ios::binary} << input;
  std::string command = quoted(binary_dir() / "deploy/troupe");
  for (auto& arg : args)
    command += " " + quoted(arg);
  command += " <" + quoted(file("in")) + " >" + quoted(file("out")) + " 2>"
             + quoted(file("errors"));
  auto raw = std::system(command.c_str());
  outcome x;
  x.status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
  x.out = content_of(file("out"));
  x.errors = content_of(file("errors"));
  return x;
}

} // namespace troupe::tests
