#pragma once

/// The keys that open the API. Only their hashes are kept, and comparing takes
/// as long whatever is given.

#include "runtime/error.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::http {

class api_keys {
public:
  /// None: everybody may.
  explicit api_keys(std::span<const std::string> keys);

  /// Whether `authorization`, the header's value, is "Bearer" in whatever
  /// case, blanks and a key.
  bool allow(std::string_view authorization) const;

private:
  std::vector<std::string> hashes_; ///< SHA-256.
};

/// Keys from `text`, one a line; empty lines are none. `what` stands in
/// errors, e.g. the file's name. Error: invalid_input if there is no key or
/// one that could stand in no header, which is not told.
result<std::vector<std::string>> parse_api_keys(std::string_view what,
                                                std::string_view text);

} // namespace troupe::http
