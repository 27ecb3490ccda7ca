#pragma once

/// The two tokenizers and the lines of tests/data/tokenizer.

#include "runtime/text/tokenizer.hpp"

#include "tests/places.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace troupe::test {

using troupe::source_dir;

inline std::string gunzipped(const std::filesystem::path& path) {
  std::string out;
  auto file = gzopen(path.c_str(), "rb");
  CHECK(file);
  char block[1 << 16];
  int size;
  while ((size = gzread(file, block, sizeof(block))) > 0)
    out.append(block, static_cast<size_t>(size));
  CHECK(size == 0);
  gzclose(file);
  return out;
}

inline tokenizer checked(result<tokenizer> x) {
  if (!x)
    ADD_FAILURE() << x.why().message;
  return std::move(*x);
}

/// "nano" or "deepseek"; read once.
inline const tokenizer& tokenizer_named(const std::string& name) {
  if (name == "nano") {
    static const tokenizer nano = checked(
      tokenizer::load(source_dir() / "examples/nano/model/tokenizer.json"));
    return nano;
  }
  static const tokenizer deepseek = checked(tokenizer::parse(gunzipped(
    source_dir() / "tests/data/tokenizer/deepseek/tokenizer.json.gz")));
  return deepseek;
}

/// A file of tests/data/tokenizer.
inline std::vector<nlohmann::json> tokenizer_lines(const std::string& file) {
  std::ifstream in{source_dir() / "tests/data/tokenizer" / file};
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);)
    lines.push_back(nlohmann::json::parse(line));
  return lines;
}

} // namespace troupe::test
