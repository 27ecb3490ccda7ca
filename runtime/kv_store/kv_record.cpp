#include "runtime/kv_store/kv_record.hpp"

#include <bit>

namespace troupe {

namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint32_t version = 1;
constexpr std::string_view magic = "TroupeKV";
constexpr size_t digest_at = kv_record::header_bytes - sizeof(digest);

/// As it lies in the file.
struct layout {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t num_tokens;
  uint64_t num_bytes;
  uint64_t serial;
  uint64_t depth;
  kv_key identity;
  kv_key key;
  kv_key before;
  std::array<int32_t, kv_block::num_tokens> tokens;
  uint64_t multi_head;
  digest bytes;
  std::array<std::byte, 80> zeros;
  digest of_all;
};

static_assert(sizeof(layout) == kv_record::header_bytes);
static_assert(offsetof(layout, of_all) == digest_at);

} // namespace

kv_record::header write_header(const kv_record& x) {
  layout out{};
  std::memcpy(out.magic.data(), magic.data(), magic.size());
  out.version = version;
  out.num_tokens = kv_block::num_tokens;
  out.num_bytes = x.num_bytes;
  out.serial = x.serial;
  out.depth = x.what.depth;
  out.identity = x.identity;
  out.key = x.what.key;
  out.before = x.what.before;
  out.tokens = x.what.tokens;
  out.multi_head = x.what.multi_head;
  out.bytes = x.bytes;
  auto all = std::as_bytes(std::span{&out, 1});
  out.of_all = digest_of(all.first(digest_at));
  return std::bit_cast<kv_record::header>(out);
}

std::optional<kv_record> read_header(std::span<const std::byte> bytes) {
  layout in;
  if (bytes.size() < sizeof in)
    return std::nullopt;
  std::memcpy(&in, bytes.data(), sizeof in);
  if (std::memcmp(in.magic.data(), magic.data(), magic.size()) != 0
      || in.version != version || in.num_tokens != kv_block::num_tokens
      || in.depth > UINT32_MAX
      || in.of_all != digest_of(bytes.first(digest_at)))
    return std::nullopt;
  kv_record out;
  out.identity = in.identity;
  out.what = {in.key, in.before, static_cast<uint32_t>(in.depth), in.tokens,
              in.multi_head};
  out.num_bytes = in.num_bytes;
  out.serial = in.serial;
  out.bytes = in.bytes;
  return out;
}

} // namespace troupe
