#pragma once

/// IP addresses of clients, and ranges of them.

#include "runtime/error.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::http {

/// As of IPv6, first byte first; IPv4 as ::ffff:a.b.c.d.
using ip_bytes = std::array<uint8_t, 16>;

/// All addresses that begin with the same bits.
struct address_range {
  ip_bytes first{};
  unsigned bits = 128;

  bool contains(const ip_bytes& x) const;
};

/// "10.1.2.3", "10.0.0.0/8", "fd00::/8". Error: invalid_input.
result<address_range> parse_address_range(std::string_view text);

/// Of this machine to itself.
std::vector<address_range> loopback_ranges();

/// Who counts as one client: an address, or with IPv6 a network, of which one
/// machine has all the addresses that it likes.
std::string origin_of(const ip_bytes& x);

} // namespace troupe::http
