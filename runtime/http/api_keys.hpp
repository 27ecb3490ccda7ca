#pragma once

/// The keys that open the API, and what each may ask for. Only their hashes
/// are kept, and comparing takes as long whatever is given.

#include "runtime/error.hpp"
#include "runtime/http/key_quota.hpp"
#include "runtime/http/message.hpp"

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::http {

struct api_key {
  std::string key;
  std::string name = {}; ///< For people; empty: it has none.
  quota_limits limits = {};
};

/// Who has a key.
struct key_holder {
  key_holder(std::string id, std::string name, quota_limits limits)
    : id(std::move(id)), name(std::move(name)), quota(limits) {
  }

  /// Other limits, or another name, for who was `before`.
  key_holder(const key_holder& before, std::string name, quota_limits limits)
    : id(before.id), name(std::move(name)), quota(limits, before.quota) {
  }

  const std::string id; ///< The key's hash; empty: everybody.
  const std::string name;
  key_quota quota;
};

/// Safe to use from several threads.
class api_keys {
public:
  /// No keys: everybody may, within `everybody`.
  explicit api_keys(std::span<const api_key> keys, quota_limits everybody = {});

  /// From now on these are the keys. Who is known by the same key goes on with
  /// what is left to it.
  void replace(std::span<const api_key> keys);

  /// Who asks; null: it has no key that is known. One comes as X-Api-Key, or in
  /// Authorization behind "Bearer" in whatever case and blanks.
  std::shared_ptr<key_holder> holder_of(const request_head& head) const;

private:
  using holders = std::vector<std::shared_ptr<key_holder>>;

  const std::shared_ptr<key_holder> everybody_;
  mutable std::mutex mutex_;
  std::shared_ptr<const holders> all_; ///< Guarded; what it points to is not.
};

/// Keys from `text`, one a line; empty lines are none. `what` stands in
/// errors, e.g. the file's name. Error: invalid_input if there is no key or
/// one that could stand in no header, which is not told.
result<std::vector<api_key>> parse_api_keys(std::string_view what,
                                            std::string_view text);

/// Keys from TOML: [[key]] with `key`, and maybe `name`, `requests-per-minute`
/// and `tokens-per-minute`. Errors as above, also of keys and names that are
/// there twice.
result<std::vector<api_key>> parse_api_key_table(std::string_view what,
                                                 std::string_view text);

} // namespace troupe::http
