#pragma once

/// Where the tests and benchmarks find the project's files and the programs
/// that were built beside them. SOURCE_DIR and BINARY_DIR in the environment
/// say so; without them it is the build folder that the running program lies
/// in, and the sources that it was configured from.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

namespace troupe {

namespace places {

/// Returns the folder above `program` that CMake built in; empty if none is.
inline std::filesystem::path build_of(std::filesystem::path program) {
  while (program.has_relative_path()) {
    program = program.parent_path();
    if (std::filesystem::exists(program / "CMakeCache.txt"))
      return program;
  }
  return {};
}

/// Returns the folder that `build` was configured from; empty if unknown.
inline std::filesystem::path sources_of(const std::filesystem::path& build) {
  const std::string key = "CMAKE_HOME_DIRECTORY:INTERNAL=";
  std::ifstream cache{build / "CMakeCache.txt"};
  for (std::string line; std::getline(cache, line);)
    if (line.starts_with(key))
      return line.substr(key.size());
  return {};
}

inline std::filesystem::path running_program() {
  std::error_code unreadable;
  return std::filesystem::read_symlink("/proc/self/exe", unreadable);
}

/// Returns the folder that `variable` names, else `found`. Without either the
/// program ends with a sentence: no test can say anything.
inline std::filesystem::path folder(const char* variable,
                                    const std::filesystem::path& found) {
  auto named = std::getenv(variable);
  auto out = named ? std::filesystem::path{named} : found;
  if (!out.empty() && std::filesystem::is_directory(out))
    return out;
  std::cerr << (named ? std::string{variable} + "=" + named + " is not a folder"
                      : running_program().string()
                          + " does not lie in a build folder: set " + variable)
            << std::endl;
  std::exit(2);
}

} // namespace places

/// The root of the project.
inline std::filesystem::path source_dir() {
  auto build = places::build_of(places::running_program());
  return places::folder("SOURCE_DIR", places::sources_of(build));
}

/// The build folder, with programs at the places of their sources' folders.
inline std::filesystem::path binary_dir() {
  return places::folder("BINARY_DIR",
                        places::build_of(places::running_program()));
}

} // namespace troupe
