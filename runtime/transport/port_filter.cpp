#include "runtime/transport/port_filter.hpp"

#include <linux/filter.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace troupe {

namespace {

using program = std::vector<sock_filter>;

constexpr uint32_t pass = 0xffffffff, drop = 0;

/// Offsets from the TCP header are plain, from the IP header these.
constexpr uint32_t ip = uint32_t(SKF_NET_OFF);
constexpr uint32_t v4_source = ip + 12, v6_source = ip + 8;
constexpr uint32_t tcp_flags = 13, syn = 0x02, ack = 0x10;

sock_filter statement(int code, uint32_t k) {
  return {uint16_t(code), 0, 0, k};
}

/// Skips `n` instructions unless the value at hand is `k`.
sock_filter unless_equal_skip(uint32_t k, size_t n) {
  return {BPF_JMP | BPF_JEQ | BPF_K, 0, uint8_t(n), k};
}

uint32_t word_of(const std::string& address, size_t i) {
  uint32_t x;
  std::memcpy(&x, address.data() + 4 * i, sizeof x);
  return ntohl(x);
}

/// Passes packets of the version whose source is `address`.
void add_source(program& out, const std::string& address) {
  auto num_words = address.size() / 4;
  auto first = num_words == 1 ? v4_source : v6_source;
  // Each word takes two instructions; the last is the return.
  auto left = 2 * num_words + 1;
  for (size_t i = 0; i < num_words; ++i) {
    out.push_back(statement(BPF_LD | BPF_W | BPF_ABS, first + uint32_t(4 * i)));
    left -= 2;
    out.push_back(unless_equal_skip(word_of(address, i), left));
  }
  out.push_back(statement(BPF_RET | BPF_K, pass));
}

program program_for(const std::map<std::string, uint32_t>& admitted) {
  program v4, v6;
  for (auto& [address, count] : admitted)
    add_source(address.size() == 4 ? v4 : v6, address);
  v4.push_back(statement(BPF_RET | BPF_K, drop));
  v6.push_back(statement(BPF_RET | BPF_K, drop));
  program out{
    // Only the first packet of a connection is judged.
    statement(BPF_LD | BPF_B | BPF_ABS, tcp_flags),
    statement(BPF_ALU | BPF_AND | BPF_K, syn | ack),
    {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, syn},
    statement(BPF_RET | BPF_K, pass),
    statement(BPF_LD | BPF_B | BPF_ABS, ip),
    statement(BPF_ALU | BPF_RSH | BPF_K, 4),
    {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 4},
    statement(BPF_JMP | BPF_JA, uint32_t(v4.size())),
  };
  out.insert(out.end(), v4.begin(), v4.end());
  out.insert(out.end(), v6.begin(), v6.end());
  return out;
}

std::string source_of(const socket_address& x) {
  std::string out;
  if (x.storage.ss_family == AF_INET6) {
    auto& in = reinterpret_cast<const sockaddr_in6&>(x.storage);
    out.assign(reinterpret_cast<const char*>(&in.sin6_addr), 16);
  } else {
    auto& in = reinterpret_cast<const sockaddr_in&>(x.storage);
    out.assign(reinterpret_cast<const char*>(&in.sin_addr), 4);
  }
  return out;
}

bool listens(int fd) {
  int yes = 0, protocol = 0;
  socklen_t size = sizeof yes;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &size) != 0 || !yes)
    return false;
  size = sizeof protocol;
  return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0
         && protocol == IPPROTO_TCP;
}

} // namespace

std::vector<int> port_filter::listening_sockets() {
  std::vector<int> out;
  std::error_code ec;
  for (auto& entry : std::filesystem::directory_iterator{"/proc/self/fd", ec}) {
    auto fd = std::atoi(entry.path().filename().c_str());
    if (listens(fd))
      out.push_back(fd);
  }
  return out;
}

result<port_filter> port_filter::close(std::vector<int> sockets) {
  port_filter out;
  out.sockets_ = std::move(sockets);
  if (auto ok = out.apply(); !ok)
    return ok.why();
  return out;
}

result<void> port_filter::admit(const socket_address& from) {
  auto source = source_of(from);
  if (!admitted_.contains(source) && admitted_.size() == max_addresses)
    return failure{errc::overloaded, "too many processes connect at once"};
  if (++admitted_[source] > 1)
    return {};
  return apply();
}

void port_filter::dismiss(const socket_address& from) {
  auto i = admitted_.find(source_of(from));
  if (i == admitted_.end() || --i->second > 0)
    return;
  admitted_.erase(i);
  // What was closed once can be closed again: the program only gets shorter.
  CHECK(apply());
}

result<void> port_filter::apply() const {
  auto code = program_for(admitted_);
  sock_fprog all{static_cast<unsigned short>(code.size()), code.data()};
  for (auto fd : sockets_)
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof all) != 0)
      return failure{errc::io, std::string{"cannot close the data port to "
                                           "strangers: "}
                                 + std::strerror(errno)};
  return {};
}

} // namespace troupe
