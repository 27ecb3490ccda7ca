#pragma once

/// UCX's context, worker and listener, opened and closed together, and the
/// sleep of the one thread that drives them. All but wake() belong to it.

#include "runtime/error.hpp"
#include "runtime/transport/transport.hpp"

#include <ucp/api/ucp.h>

#include <atomic>
#include <functional>
#include <memory>

namespace troupe {

class ucx_worker {
public:
  struct callbacks {
    std::function<void(ucp_conn_request_h)> on_connection;
    /// As ucp_am_recv_callback_t.
    std::function<ucs_status_t(std::span<const std::byte> header, void* data,
                               size_t length, const ucp_am_recv_param_t&)>
      on_message;
  };

  /// The one kind of active message that we use.
  static constexpr unsigned message_id = 1;

  static result<std::unique_ptr<ucx_worker>>
  open(const endpoint_address& address, callbacks handlers);

  ucx_worker(const ucx_worker&) = delete;
  ucx_worker& operator=(const ucx_worker&) = delete;
  ~ucx_worker();

  /// Where we listen, with the actual port.
  const endpoint_address& address() const {
    return address_;
  }

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

  void reject(ucp_conn_request_h request);

private:
  explicit ucx_worker(callbacks handlers);

  result<void> start(const endpoint_address& address);
  result<void> start_context(const endpoint_address& address);
  result<void> start_worker();
  result<void> start_listener(const endpoint_address& address);

  callbacks handlers_;
  endpoint_address address_;
  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  ucp_listener_h listener_ = nullptr;
  int event_fd_ = -1; ///< UCX's, not ours to close.
  int wake_fd_ = -1;
  std::atomic<bool> sleeping_ = false;
};

} // namespace troupe
