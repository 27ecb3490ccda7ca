#pragma once

/// Where a server is, as people write it: "https://host:8443/base".

#include "runtime/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace troupe::http {

struct web_address {
  bool tls = false;
  std::string host; ///< A name, or an address without brackets.
  uint16_t port = 80;
  std::string path; ///< Without a final '/'; may be empty.

  /// For the Host header: with the port unless it is the usual one.
  std::string authority() const;
};

/// Nothing may follow the path. Error: invalid_input.
result<web_address> parse_web_address(std::string_view text);

} // namespace troupe::http
