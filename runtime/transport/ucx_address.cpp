#include "runtime/transport/ucx_address.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <cstring>
#include <filesystem>

namespace troupe {

namespace {

const in_addr& v4(const sockaddr* x) {
  return reinterpret_cast<const sockaddr_in*>(x)->sin_addr;
}

const in6_addr& v6(const sockaddr* x) {
  return reinterpret_cast<const sockaddr_in6*>(x)->sin6_addr;
}

bool same_host(const sockaddr* a, const sockaddr* b) {
  if (a->sa_family != b->sa_family)
    return false;
  if (a->sa_family == AF_INET)
    return v4(a).s_addr == v4(b).s_addr;
  return std::memcmp(&v6(a), &v6(b), sizeof(in6_addr)) == 0;
}

failure unusable(const socket_address& x, const std::string& interface,
                 const std::string& why) {
  return {errc::invalid_input,
          "UCX cannot use the address " + to_endpoint_address(x.storage).host
            + " of the interface " + interface + ": " + why};
}

} // namespace

result<socket_address> to_socket_address(const endpoint_address& x) {
  socket_address out;
  auto in = reinterpret_cast<sockaddr_in*>(&out.storage);
  auto in6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (inet_pton(AF_INET, x.host.c_str(), &in->sin_addr) == 1) {
    in->sin_family = AF_INET;
    in->sin_port = htons(x.port);
    out.size = sizeof *in;
  } else if (inet_pton(AF_INET6, x.host.c_str(), &in6->sin6_addr) == 1) {
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(x.port);
    out.size = sizeof *in6;
  } else {
    return failure{errc::invalid_input,
                   "\"" + x.host + "\" is not a numeric address"};
  }
  return out;
}

endpoint_address to_endpoint_address(const sockaddr_storage& x) {
  auto any = reinterpret_cast<const sockaddr*>(&x);
  char text[INET6_ADDRSTRLEN] = {};
  if (x.ss_family == AF_INET) {
    inet_ntop(AF_INET, &v4(any), text, sizeof text);
    return {text, ntohs(reinterpret_cast<const sockaddr_in&>(x).sin_port)};
  }
  inet_ntop(AF_INET6, &v6(any), text, sizeof text);
  return {text, ntohs(reinterpret_cast<const sockaddr_in6&>(x).sin6_port)};
}

bool is_loopback(const socket_address& x) {
  if (x.storage.ss_family == AF_INET)
    return ntohl(v4(x.get()).s_addr) >> 24 == 127;
  return IN6_IS_ADDR_LOOPBACK(&v6(x.get()));
}

result<std::string> interface_of(const socket_address& x) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0)
    return failure{errc::io, "the interfaces of this machine cannot be read"};
  std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner{all, freeifaddrs};
  for (auto i = all; i; i = i->ifa_next) {
    if (!i->ifa_addr)
      continue;
    // Every address of 127.0.0.0/8 is on the loopback interface.
    auto both_loopback = is_loopback(x) && (i->ifa_flags & IFF_LOOPBACK);
    if (!both_loopback && !same_host(i->ifa_addr, x.get()))
      continue;
    std::string name{i->ifa_name};
    if (name.find(':') != name.npos)
      return unusable(x, name, "it has a label");
    constexpr unsigned alive = IFF_UP | IFF_RUNNING;
    if ((i->ifa_flags & alive) != alive)
      return unusable(x, name, "that is down");
    return name;
  }
  return failure{errc::invalid_input,
                 "no interface of this machine has the address "
                   + to_endpoint_address(x.storage).host};
}

result<void> check_seen_by_ucx(const std::string& interface) {
  std::error_code ec;
  if (std::filesystem::is_symlink("/sys/class/net/" + interface, ec))
    return {};
  return failure{errc::invalid_input,
                 "UCX cannot use the interface " + interface
                   + ", which is not in /sys/class/net: is /sys that of "
                     "another network namespace? (ip netns exec mounts the "
                     "right one)"};
}

std::string likely_cause(const endpoint_address& self,
                         const endpoint_address& other) {
  auto ours = to_socket_address(self), theirs = to_socket_address(other);
  if (!ours || !theirs || is_loopback(*ours) == is_loopback(*theirs))
    return {};
  return "; it listens at " + other.host + ", this node at " + self.host
         + ", and only one of them is a loopback address";
}

std::string to_string(const endpoint_address& x) {
  auto is_v6 = x.host.find(':') != std::string::npos;
  return (is_v6 ? "[" + x.host + "]" : x.host) + ":" + std::to_string(x.port);
}

} // namespace troupe
