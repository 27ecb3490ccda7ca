#pragma once

/// Addresses as the kernel writes them, and the interface that has one.

#include "runtime/error.hpp"
#include "runtime/transport/transport.hpp"

#include <sys/socket.h>

namespace troupe {

struct socket_address {
  sockaddr_storage storage = {};
  socklen_t size = 0;

  const sockaddr* get() const {
    return reinterpret_cast<const sockaddr*>(&storage);
  }
};

/// Reads a numeric IPv4 or IPv6 address. Error: invalid_input.
result<socket_address> to_socket_address(const endpoint_address& x);

endpoint_address to_endpoint_address(const sockaddr_storage& x);

bool is_loopback(const socket_address& x);

/// The name of the interface with that address, e.g. "eth0". Error:
/// invalid_input, also for "any" addresses: peers could not be told one; and
/// for those that UCX passes over: of an interface that is down, and such as
/// have a label of their own ("eth0:1").
result<std::string> interface_of(const socket_address& x);

/// UCX looks for interfaces in /sys alone, and goes without one that is not
/// there: then nobody can be reached. So it is where /sys was mounted in
/// another network namespace than ours. Error: invalid_input.
result<void> check_seen_by_ucx(const std::string& interface);

/// Why UCX may not connect these two, to follow on what it says; empty if it is
/// not known. It connects loopback interfaces with such alone.
std::string likely_cause(const endpoint_address& self,
                         const endpoint_address& other);

std::string to_string(const endpoint_address& x);

} // namespace troupe
