#include "runtime/http/api_keys.hpp"

#include "runtime/http/request_head.hpp"
#include "runtime/toml/table_reader.hpp"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <set>

namespace troupe::http {

namespace {

constexpr size_t max_key_bytes = 1024;
constexpr size_t max_name_bytes = 64;

std::string sha256(std::string_view text) {
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

bool is_visible(char c) {
  return c > ' ' && c < '\x7f';
}

bool is_key(std::string_view text) {
  return text.size() <= max_key_bytes && std::ranges::all_of(text, is_visible);
}

failure bad(std::string_view what, const std::string& why) {
  return {errc::invalid_input, std::string{what} + why};
}

std::string key_rule() {
  return " must be of at most " + std::to_string(max_key_bytes)
         + " visible ASCII characters";
}

/// The key that a head carries; or empty.
std::string_view key_in(const request_head& head) {
  std::string_view given = head.authorization;
  auto blank = std::min(given.find(' '), given.size());
  return same_word(given.substr(0, blank), "bearer")
           ? trim(given.substr(blank))
           : std::string_view{head.api_key};
}

} // namespace

api_keys::api_keys(std::span<const api_key> keys, quota_limits everybody)
  : everybody_(std::make_shared<key_holder>("", "", everybody)),
    all_(std::make_shared<holders>()) {
  replace(keys);
}

void api_keys::replace(std::span<const api_key> keys) {
  std::lock_guard guard{mutex_};
  auto all = std::make_shared<holders>();
  for (const auto& x : keys) {
    auto id = sha256(x.key);
    auto old = std::ranges::find(*all_, id, [](auto& y) { return y->id; });
    auto is_known = old != all_->end();
    if (is_known && (*old)->name == x.name
        && (*old)->quota.limits() == x.limits)
      all->push_back(*old);
    else if (is_known)
      all->push_back(std::make_shared<key_holder>(**old, x.name, x.limits));
    else
      all->push_back(std::make_shared<key_holder>(id, x.name, x.limits));
  }
  all_ = std::move(all);
}

std::shared_ptr<key_holder>
api_keys::holder_of(const request_head& head) const {
  std::shared_ptr<const holders> all;
  {
    std::lock_guard guard{mutex_};
    all = all_;
  }
  if (all->empty())
    return everybody_;
  auto hash = sha256(key_in(head));
  std::shared_ptr<key_holder> found; // all are looked at, whichever it is
  for (const auto& x : *all)
    if (CRYPTO_memcmp(x->id.data(), hash.data(), hash.size()) == 0)
      found = x;
  return found;
}

result<std::vector<api_key>> parse_api_keys(std::string_view what,
                                            std::string_view text) {
  std::vector<api_key> keys;
  for (size_t line = 1; !text.empty(); ++line) {
    auto end = std::min(text.find('\n'), text.size());
    auto key = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (key.ends_with('\r'))
      key.remove_suffix(1);
    if (!is_key(key))
      return bad(what,
                 ": the key in line " + std::to_string(line) + key_rule());
    if (!key.empty())
      keys.push_back({std::string{key}});
  }
  if (keys.empty())
    return bad(what, " holds no API key");
  return keys;
}

result<std::vector<api_key>> parse_api_key_table(std::string_view what,
                                                 std::string_view text) {
  auto root = parse_toml(text, what);
  if (!root) // whose words may hold a part of a key
    return bad(
      root.why().message.substr(0, root.why().message.find(": ", what.size())),
      " is no TOML");
  table_reader in{*root, std::string{what}};
  in.allow_only({"key"}, "a file of API keys");
  const auto* list = in.find("key") ? in.find("key")->as_array() : nullptr;
  if (!list || list->empty() || !list->is_array_of_tables())
    return bad(what, " holds no API key: it needs a [[key]]");
  std::vector<api_key> keys;
  std::set<std::string> seen;
  for (size_t i = 0; i < list->size(); ++i) {
    auto name = "key[" + std::to_string(i) + "]";
    table_reader one{*list->get(i)->as_table(), std::string{what}, name};
    one.allow_only({"key", "name", "requests-per-minute", "tokens-per-minute"},
                   "a key");
    api_key x;
    one.read("key", x.key);
    one.read("name", x.name);
    one.read("requests-per-minute", x.limits.requests_per_minute);
    one.read("tokens-per-minute", x.limits.tokens_per_minute);
    if (x.key.empty() || !is_key(x.key))
      one.complain("key", key_rule().substr(1) + ", and is needed");
    if (x.name.size() > max_name_bytes
        || !std::ranges::all_of(x.name, is_visible))
      one.complain("name", "must be of at most 64 visible ASCII characters");
    if (!seen.insert("key " + x.key).second)
      one.complain("key", "is there twice");
    if (!x.name.empty() && !seen.insert("name " + x.name).second)
      one.complain("name", "is there twice");
    if (!one.complaint().empty())
      return failure{errc::invalid_input, one.complaint()};
    keys.push_back(std::move(x));
  }
  return in.complaint().empty() ? result<std::vector<api_key>>{std::move(keys)}
                                : failure{errc::invalid_input, in.complaint()};
}

} // namespace troupe::http
