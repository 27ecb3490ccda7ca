#pragma once

/// XXH3, 128 bits: says whether bytes are the same bytes, about as fast as
/// memory is read; keeps nobody out. [https://xxhash.com]

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace troupe {

struct digest {
  uint64_t low = 0;
  uint64_t high = 0;

  friend bool operator==(const digest&, const digest&) = default;
};

/// 32 digits, as xxhsum prints them.
std::string to_string(const digest& x);

digest digest_of(std::span<const std::byte> bytes);
digest digest_of(std::string_view text);

/// Of bytes that come one behind the other. Where they are cut does not
/// matter.
class digest_stream {
public:
  digest_stream();
  ~digest_stream();

  void add(std::span<const std::byte> bytes);

  /// Returns the digest of what came since the last call.
  digest take();

private:
  struct state;
  std::unique_ptr<state> state_;
};

/// What the bytes of tensors in their files are, by the tensors' names.
using digest_table = std::map<std::string, digest, std::less<>>;

} // namespace troupe
