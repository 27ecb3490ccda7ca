#pragma once

/// Keeps strangers from ports that we do not own: UCX opens TCP ports of its
/// own for data and believes whatever reaches them, to the point of writing
/// where it is told. A filter in the kernel lets connections begin only from
/// addresses that are admitted, and only while they are; what is connected
/// stays so. Nobody is admitted at first.
///
/// An address is admitted while a process behind it, which has proven itself,
/// connects: a few milliseconds. Strangers of the same address are as near as
/// that; all others never get an answer. [Linux, classic BPF on a listening
/// socket]

#include "runtime/error.hpp"
#include "runtime/transport/ucx_address.hpp"

#include <map>
#include <string>
#include <vector>

namespace troupe {

class port_filter {
public:
  /// The listening TCP sockets of this process.
  static std::vector<int> listening_sockets();

  /// Does not own `sockets`. Error: io.
  static result<port_filter> close(std::vector<int> sockets);

  /// Lets connections from the address begin (its port is of no account), as
  /// often as it is dismissed again. Error: io, or if there are too many.
  result<void> admit(const socket_address& from);
  void dismiss(const socket_address& from);

  /// How many addresses may be admitted at a time.
  static constexpr size_t max_addresses = 256;

private:
  port_filter() = default;

  result<void> apply() const;

  std::vector<int> sockets_;
  std::map<std::string, uint32_t> admitted_; ///< Address in network order.
};

} // namespace troupe
