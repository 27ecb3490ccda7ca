#include "runtime/transport/frame.hpp"

#include "runtime/planted.hpp"
#include "runtime/transport/crc32c.hpp"

#include <bit>
#include <cstring>
#include <limits>

namespace troupe {

namespace {

static_assert(std::endian::native == std::endian::little,
              "the wire is little-endian and so are the hosts that we know");

constexpr size_t crc_offset = frame_header::size - 4;

using header_bytes = std::array<std::byte, frame_header::size>;

/// Calls `f` with each field after the magic and before the checksum, in the
/// order of the wire.
template <class Header, class F>
void for_each_field(Header& x, F f) {
  f(x.sequence);
  f(x.version);
  f(x.kind);
  f(x.layer);
  f(x.cluster);
  f(x.view);
  f(x.epoch);
  f(x.step);
  f(x.source);
  f(x.destination);
  f(x.id);
  f(x.first);
  f(x.length);
}

/// The header comes last, for it is the last that is known. The checksum's own
/// place counts as zero.
uint32_t end_checksum(std::span<const std::byte> header, uint32_t begun) {
  constexpr std::array<std::byte, 4> zero{};
  return crc32c(zero, crc32c(header.first(crc_offset), begun));
}

frame_class class_of(std::span<const std::byte> header) {
  return frame_class(header[5]); // after magic, sequence and version
}

template <class T>
T read_at(std::span<const std::byte> bytes, size_t offset) {
  T x;
  std::memcpy(&x, bytes.data() + offset, sizeof x);
  return x;
}

failure damaged(const char* why) {
  return {errc::invalid_input, std::string{"frame is damaged: "} + why};
}

bool is_known(frame_class kind) {
  return kind >= frame_class::hello && kind <= frame_class::bulk;
}

} // namespace

uint32_t begin_checksum(frame_class kind, std::span<const std::byte> payload,
                        const frame_seal& seal) {
  auto crc = seal.tag == 0 ? 0 : crc32c(std::as_bytes(std::span{&seal.tag, 1}));
  auto with_body = seal.with_body || kind == frame_class::bulk;
  return with_body ? crc32c(payload, crc) : crc;
}

header_bytes encode_header(const frame_header& header,
                           std::span<const std::byte> payload,
                           const frame_seal& seal) {
  CHECK(payload.size() <= std::numeric_limits<uint32_t>::max());
  CHECK(header.length == payload.size());
  return encode_header(header, begin_checksum(header.kind, payload, seal));
}

header_bytes encode_header(const frame_header& header, uint32_t begun) {
  header_bytes bytes{};
  size_t offset = 0;
  auto put = [&](const auto& field) {
    std::memcpy(bytes.data() + offset, &field, sizeof field);
    offset += sizeof field;
  };
  put(frame_header::magic_value);
  for_each_field(header, put);
  CHECK(offset == crc_offset);
  put(end_checksum(bytes, begun));
  return bytes;
}

result<frame_header> decode_header(std::span<const std::byte> bytes,
                                   std::span<const std::byte> payload,
                                   const frame_seal& seal) {
  if (bytes.size() != frame_header::size)
    return damaged("its header is not 64 bytes long");
  if (read_at<uint16_t>(bytes, 0) != frame_header::magic_value)
    return damaged("it does not begin with TR");
  auto begun = begin_checksum(class_of(bytes), payload, seal);
  if (read_at<uint32_t>(bytes, crc_offset) != end_checksum(bytes, begun)
      && !PLANTED(checksum_not_checked))
    return damaged("its checksum does not fit");
  frame_header header;
  size_t offset = sizeof frame_header::magic_value;
  for_each_field(header, [&](auto& field) {
    std::memcpy(&field, bytes.data() + offset, sizeof field);
    offset += sizeof field;
  });
  if (header.version != frame_header::version_value)
    return damaged("its version is not ours");
  if (!is_known(header.kind))
    return damaged("its class is unknown");
  if (header.length != payload.size())
    return damaged("its length does not fit its body");
  if (header.kind == frame_class::bulk && payload.size() > max_bulk_bytes)
    return damaged("it is a chunk that is too long");
  return header;
}

uint64_t source_of(std::span<const std::byte, frame_header::size> header) {
  return read_at<uint64_t>(header, 24);
}

lane lane_of(std::span<const std::byte, frame_header::size> header) {
  return lane_of(class_of(header));
}

uint32_t cluster_hash(std::string_view name) {
  return crc32c(std::as_bytes(std::span{name}));
}

} // namespace troupe
