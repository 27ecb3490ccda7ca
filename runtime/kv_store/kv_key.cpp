#include "runtime/kv_store/kv_key.hpp"

#include "kernels/check.hpp"

#include <openssl/sha.h>

#include <bit>
#include <span>

namespace troupe {

namespace {

static_assert(std::endian::native == std::endian::little);

kv_key sha256(std::span<const std::byte> bytes) {
  kv_key out;
  static_assert(sizeof out.bytes == SHA256_DIGEST_LENGTH);
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(out.bytes.data()));
  return out;
}

kv_key sha256(std::string_view text) {
  return sha256(std::as_bytes(std::span{text}));
}

/// Of another version of what is hashed, or of the file, nothing is found.
constexpr std::string_view identity_prefix = "troupe kv blocks 1\n";
constexpr std::string_view root_prefix = "troupe kv root 1\n";

} // namespace

std::string to_string(const kv_key& x) {
  constexpr auto digits = "0123456789abcdef";
  std::string out;
  for (auto b : x.bytes) {
    out += digits[std::to_integer<unsigned>(b) >> 4];
    out += digits[std::to_integer<unsigned>(b) & 15];
  }
  return out;
}

kv_key identity_of(std::string_view text) {
  return sha256(std::string{identity_prefix} + std::string{text});
}

kv_key kv_chain::root(std::string_view salt) const {
  return sha256(std::string{root_prefix} + to_string(identity_)
                + std::string{salt});
}

kv_key kv_chain::next(const kv_key& before,
                      const std::array<int32_t, kv_block::num_tokens>& tokens,
                      uint64_t multi_head) {
  std::array<std::byte, sizeof before.bytes + sizeof tokens + 8> all;
  auto* to = all.data();
  std::memcpy(to, before.bytes.data(), sizeof before.bytes);
  std::memcpy(to + sizeof before.bytes, tokens.data(), sizeof tokens);
  std::memcpy(to + sizeof before.bytes + sizeof tokens, &multi_head, 8);
  return sha256(all);
}

} // namespace troupe
