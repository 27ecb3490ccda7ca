#include "runtime/http/api_keys.hpp"

#include "runtime/http/request_head.hpp"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>

namespace troupe::http {

namespace {

constexpr size_t max_key_bytes = 1024;

std::string sha256(std::string_view text) {
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

bool is_visible(char c) {
  return c > ' ' && c < '\x7f';
}

} // namespace

api_keys::api_keys(std::span<const std::string> keys) {
  for (const auto& key : keys)
    hashes_.push_back(sha256(key));
}

bool api_keys::allow(std::string_view authorization) const {
  if (hashes_.empty())
    return true;
  auto blank = std::min(authorization.find(' '), authorization.size());
  if (!same_word(authorization.substr(0, blank), "bearer"))
    return false;
  auto given = sha256(trim(authorization.substr(blank)));
  bool known = false; // all are looked at, whichever it is
  for (const auto& hash : hashes_)
    known |= CRYPTO_memcmp(given.data(), hash.data(), hash.size()) == 0;
  return known;
}

result<std::vector<std::string>> parse_api_keys(std::string_view what,
                                                std::string_view text) {
  std::vector<std::string> keys;
  for (size_t line = 1; !text.empty(); ++line) {
    auto end = std::min(text.find('\n'), text.size());
    auto key = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (key.ends_with('\r'))
      key.remove_suffix(1);
    if (key.size() > max_key_bytes || !std::ranges::all_of(key, is_visible))
      return failure{errc::invalid_input,
                     std::string{what} + ": the key in line "
                       + std::to_string(line) + " must be of at most "
                       + std::to_string(max_key_bytes)
                       + " visible ASCII characters"};
    if (!key.empty())
      keys.emplace_back(key);
  }
  if (keys.empty())
    return failure{errc::invalid_input,
                   std::string{what} + " holds no API key"};
  return keys;
}

} // namespace troupe::http
