#pragma once

/// Prompts of a trace that says which beginnings they share: Mooncake's,
/// reduced to t_ms, input_tokens, output_tokens, attach.

#include "runtime/split_list.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace troupe {

struct traced_prompt {
  static constexpr uint32_t block_tokens = 512;

  double arrival = 0; ///< s.
  uint32_t tokens = 0;
  std::vector<uint32_t>
    blocks; ///< Numbered from 0; the last may be part of one.
};

/// The rows of a table of numbers, whose fields are parted by commas; what
/// begins with no digit is none. Nothing if there is no such file.
inline std::vector<std::vector<int64_t>>
read_rows(const std::filesystem::path& file) {
  std::vector<std::vector<int64_t>> out;
  std::ifstream in{file};
  std::string line;
  while (std::getline(in, line)) {
    if (line.empty() || line[0] < '0' || line[0] > '9')
      continue;
    auto& row = out.emplace_back();
    for (std::string_view x : split_list(line))
      std::from_chars(x.data(), x.data() + x.size(), row.emplace_back(0));
  }
  return out;
}

/// Each row says to which block of an earlier one its own are attached.
inline std::vector<traced_prompt>
read_prompts(const std::filesystem::path& file) {
  std::vector<traced_prompt> out;
  std::vector<int64_t> parent;
  for (auto& row : read_rows(file)) {
    traced_prompt x{1e-3 * double(row[0]), uint32_t(row[1]), {}};
    for (auto b = row[3]; b >= 0; b = parent[size_t(b)])
      x.blocks.push_back(uint32_t(b));
    std::ranges::reverse(x.blocks);
    while (x.blocks.size() * traced_prompt::block_tokens < x.tokens) {
      parent.push_back(x.blocks.empty() ? -1 : int64_t{x.blocks.back()});
      x.blocks.push_back(uint32_t(parent.size()) - 1);
    }
    out.push_back(std::move(x));
  }
  return out;
}

} // namespace troupe
