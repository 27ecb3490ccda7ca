#include "deploy/fault_channel.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace troupe {

result<std::pair<fault_channel, fault_channel>> fault_channel::make() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return failure{errc::io, std::string{"no channel for faults: "}
                               + std::strerror(errno)};
  return std::pair{fault_channel{ends[0]}, fault_channel{ends[1]}};
}

result<fault_channel> fault_channel::adopt(int fd) {
  int type = 0;
  socklen_t size = sizeof(type);
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0
      || type != SOCK_SEQPACKET)
    return failure{errc::invalid_input,
                   "--fault-channel is for serve, which makes the channel"};
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return fault_channel{fd};
}

fault_channel::~fault_channel() {
  if (fd_ >= 0)
    ::close(fd_);
}

bool fault_channel::say(const std::string& word) const {
  auto size = ::send(fd_, word.data(), word.size(),
                     MSG_DONTWAIT | MSG_NOSIGNAL);
  return size == ssize_t(word.size());
}

std::optional<std::string> fault_channel::hear() const {
  std::array<char, 256> buffer;
  auto size = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (size <= 0)
    return std::nullopt;
  return std::string{buffer.data(), size_t(size)};
}

} // namespace troupe
