#include "deploy/word_channel.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace troupe {

result<std::pair<word_channel, word_channel>> word_channel::make() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return failure{errc::io, std::string{"no channel to a child: "}
                               + std::strerror(errno)};
  return std::pair{word_channel{ends[0]}, word_channel{ends[1]}};
}

result<word_channel> word_channel::adopt(int fd) {
  int type = 0;
  socklen_t size = sizeof(type);
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0
      || type != SOCK_SEQPACKET)
    return failure{errc::invalid_input,
                   "descriptor " + std::to_string(fd)
                     + " is no channel to the process that started this one"};
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return word_channel{fd};
}

word_channel::~word_channel() {
  if (fd_ >= 0)
    ::close(fd_);
}

bool word_channel::say(const std::string& word) const {
  auto size = ::send(fd_, word.data(), word.size(),
                     MSG_DONTWAIT | MSG_NOSIGNAL);
  return size == ssize_t(word.size());
}

std::optional<std::string> word_channel::hear() const {
  std::array<char, max_word> buffer;
  auto size = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (size <= 0)
    return std::nullopt;
  return std::string{buffer.data(), size_t(size)};
}

std::optional<std::string>
word_channel::await(std::chrono::milliseconds limit) const {
  pollfd wanted{fd_, POLLIN, 0};
  ::poll(&wanted, 1, int(limit.count()));
  return hear();
}

} // namespace troupe
