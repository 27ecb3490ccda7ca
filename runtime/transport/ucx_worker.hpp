#pragma once

/// UCX's context and worker, opened and closed together, and the sleep of the
/// one thread that drives them. All but wake() belong to it.
///
/// The ports that UCX opens for data are closed to everybody but those who are
/// admitted (port_filter.hpp).

#include "runtime/error.hpp"
#include "runtime/transport/port_filter.hpp"
#include "runtime/transport/transport.hpp"

#include <ucp/api/ucp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace troupe {

class ucx_worker {
public:
  /// Takes an active message; what it returns is told to UCX. [As
  /// ucp_am_recv_callback_t]
  using message_handler
    = std::function<ucs_status_t(std::span<const std::byte> header, void* data,
                                 size_t length, bool is_rendezvous)>;

  /// The one kind of active message that we use.
  static constexpr unsigned message_id = 1;

  static result<std::unique_ptr<ucx_worker>>
  open(const endpoint_address& address, message_handler on_message);

  ucx_worker(const ucx_worker&) = delete;
  ucx_worker& operator=(const ucx_worker&) = delete;
  ~ucx_worker();

  /// Where others reach us, in UCX's own words.
  std::vector<std::byte> data_address() const;

  /// Lets the process at `host` connect, until it is dismissed. Error: io.
  result<void> admit(const endpoint_address& host);
  void dismiss(const endpoint_address& host);

  ucp_worker_h handle() const {
    return worker_;
  }

  /// Returns whether anything happened.
  bool progress() {
    return ucp_worker_progress(worker_) != 0;
  }

  /// Sleeps until something happens, wake() or `limit`. `has_work` is asked
  /// after wake() has begun to be heeded.
  void wait(std::chrono::milliseconds limit,
            const std::function<bool()>& has_work);

  /// Ends a sleep; cheap if there is none. Any thread.
  void wake();

private:
  explicit ucx_worker(message_handler on_message);

  result<void> start(const endpoint_address& address);
  result<void> start_context(const endpoint_address& address);
  result<void> start_worker();
  result<void> close_ports(const std::vector<int>& known);

  message_handler on_message_;
  std::optional<port_filter> ports_;
  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  int event_fd_ = -1; ///< UCX's, not ours to close.
  int wake_fd_ = -1;
  std::atomic<bool> sleeping_ = false;
};

} // namespace troupe
