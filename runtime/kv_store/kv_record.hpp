#pragma once

/// How a block stands in a file: a header of 512 bytes, which says all that
/// the block is and the digest of its bytes, and elsewhere the bytes. A header
/// is believed if its own digest fits, a block if everything does.
///
/// | at | bytes | is |
/// |---|---|---|
/// | 0 | 8 | "TroupeKV" |
/// | 8 | 4 | version, 1 |
/// | 12 | 4 | tokens, 64 |
/// | 16 | 8 | bytes of the block |
/// | 24 | 8 | number of the write, ascending |
/// | 32 | 8 | blocks before it in its chain |
/// | 40 | 32 | identity of the store |
/// | 72 | 32 | key |
/// | 104 | 32 | key of the block before it |
/// | 136 | 256 | token ids, int32 |
/// | 392 | 8 | their forms, a bit each |
/// | 400 | 16 | XXH3-128 of the block's bytes |
/// | 416 | 80 | zeros |
/// | 496 | 16 | XXH3-128 of all before |
///
/// Little endian.

#include "runtime/digest.hpp"
#include "runtime/kv_store/kv_key.hpp"

#include <optional>
#include <span>

namespace troupe {

struct kv_record {
  static constexpr uint64_t header_bytes = 512;
  using header = std::array<std::byte, header_bytes>;

  kv_key identity;
  kv_block what;
  uint64_t num_bytes = 0;
  uint64_t serial = 0; ///< Number of the write.
  digest bytes;

  friend bool operator==(const kv_record&, const kv_record&) = default;
};

kv_record::header write_header(const kv_record& x);

/// Nothing if this is no whole header of a version that is known.
std::optional<kv_record> read_header(std::span<const std::byte> bytes);

} // namespace troupe
