#pragma once

/// Digests of a model's tensors, kept in a file for the next start: to read
/// every byte of a large model takes minutes.

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/digest.hpp"

#include <filesystem>

namespace troupe {

/// A cache may go, be damaged or not be there at all: then digests are made
/// again, and nobody hears of it.
class digest_cache {
public:
  /// For the files of `source` as they were opened. `dir` is empty: keep
  /// nothing; else it is made when it is needed.
  digest_cache(const std::filesystem::path& dir, const checkpoint& source);

  /// Returns what is known of tensors whose files are what they were.
  digest_table read() const;

  /// Keeps `all`, replacing what was kept.
  void write(const digest_table& all) const;

  /// Where; empty: nowhere.
  const std::filesystem::path& path() const {
    return path_;
  }

private:
  std::filesystem::path path_;
  const checkpoint& source_;
};

} // namespace troupe
