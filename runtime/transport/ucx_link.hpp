#pragma once

/// One connection: sends, receives in order per lane, closes at once. It knows
/// nothing of who is at the other end. Everything happens on the I/O thread.

#include "runtime/transport/block_pool.hpp"
#include "runtime/transport/frame_order.hpp"

#include <ucp/api/ucp.h>

#include <atomic>
#include <deque>

namespace troupe {

using header_bytes = std::array<std::byte, frame_header::size>;

/// Bytes that count as unsent until this goes. They are in the total already.
class unsent_charge {
public:
  unsent_charge() = default;

  unsent_charge(std::shared_ptr<std::atomic<size_t>> total, size_t bytes)
    : total_(std::move(total)), bytes_(bytes) {
  }

  unsent_charge(unsent_charge&&) = default;
  unsent_charge& operator=(unsent_charge&&) = delete;

  ~unsent_charge() {
    if (total_)
      *total_ -= bytes_;
  }

private:
  std::shared_ptr<std::atomic<size_t>> total_;
  size_t bytes_ = 0;
};

class ucx_link : public std::enable_shared_from_this<ucx_link> {
public:
  class owner {
  public:
    /// In the order in which the other side sent on that lane. Must not close
    /// the link.
    virtual void
    on_message(ucx_link& from, const header_bytes& header, body payload)
      = 0;

    /// The other side is gone, or a message failed. Must not close the link.
    virtual void on_failure(ucx_link& which, ucs_status_t why) = 0;

  protected:
    ~owner() = default;
  };

  /// What is under way lives in `pool`, and what has come.
  ucx_link(owner& o, std::shared_ptr<block_pool> pool);

  /// Connects to the worker that has this address. Sends may follow at once.
  ucs_status_t connect(ucp_worker_h worker, std::span<const std::byte> address);

  /// Keeps `payload` and `charge` until the bytes are out or given up.
  void send(const header_bytes& header, body payload, unsent_charge charge);

  /// Takes an active message; the result is what UCX's callback returns.
  ucs_status_t receive(ucp_worker_h worker, const header_bytes& header,
                       void* data, size_t length, bool is_rendezvous);

  /// Bytes of bodies that the other side has announced and not yet sent.
  size_t num_expected() const {
    return num_expected_;
  }

  /// Frames that have come and not been given to the owner.
  lane_counts num_waiting() const;

  /// Sends that are not out yet.
  size_t num_sending() const {
    return num_sending_;
  }

  /// Their bytes, headers included.
  size_t bytes_sending(lane which) const {
    return bytes_sending_[size_t(which)];
  }

  /// Sends that have come to an end, well or not.
  uint64_t num_sent() const {
    return num_sent_;
  }

  /// Drops what is under way, in both directions, and tells nobody.
  void close();

  /// Whether UCX has let go of it; only then may it be destroyed.
  bool is_closed();

private:
  struct outgoing;
  struct incoming;
  using incoming_ptr = std::shared_ptr<incoming>;
  using queue = std::deque<incoming_ptr, pooled_allocator<incoming_ptr>>;

  void finish(outgoing* x, ucs_status_t status);
  void deliver_complete(lane which);

  owner& owner_;
  const std::shared_ptr<block_pool> pool_;
  ucp_ep_h endpoint_ = nullptr;
  void* close_request_ = nullptr;
  bool is_closing_ = false;
  size_t num_sending_ = 0;
  size_t bytes_sending_[num_lanes] = {};
  uint64_t num_sent_ = 0;
  size_t num_receiving_ = 0; ///< Receives that UCX holds a pointer to.
  size_t num_expected_ = 0;
  /// Each in order of arrival.
  std::array<queue, num_lanes> inbox_;
};

} // namespace troupe
