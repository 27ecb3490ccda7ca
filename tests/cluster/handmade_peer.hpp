#pragma once

/// A process that has met another one as is due, and then sends over UCX what
/// a test tells it, byte by byte. It lives on the test's thread.

#include "runtime/meeting/doorman.hpp"
#include "runtime/transport/ucx_link.hpp"
#include "runtime/transport/ucx_worker.hpp"
#include "tests/cluster/transport_fixture.hpp"

namespace troupe::transports {

class handmade_peer : ucx_link::owner {
public:
  handmade_peer(surroundings& around, node_identity self)
    : incarnation_(self.incarnation),
      doorman_(make_owner(), self.incarnation, around.log), time_(around.time) {
    auto worker = ucx_worker::open(
      {"127.0.0.1", 0},
      [this](std::span<const std::byte> header, void*, size_t, bool) {
        num_frames_ += header.size() == frame_header::size;
        return UCS_OK;
      });
    EXPECT_TRUE(worker);
    worker_ = std::move(*worker);
    handshake_options who{"troupe", "", std::move(self)};
    who.data_address = worker_->data_address();
    EXPECT_TRUE(doorman_.open({}, who, around.chance));
  }

  ~handmade_peer() {
    if (link_)
      link_->close();
    while (link_ && !link_->is_closed())
      worker_->progress();
  }

  /// Meets the process there, and waits for its hello.
  void join(const endpoint_address& there) {
    doorman_.dial(0, {there});
    EXPECT_TRUE(await([this] { return num_frames_ > 0 || !failed_.empty(); }));
    EXPECT_EQ(failed_, "");
    doorman_.joined(other_.line);
  }

  /// With the seal that was agreed upon.
  header_bytes seal(const frame_header& header) const {
    return encode_header(header, {}, {other_.frame_tag});
  }

  void send(const header_bytes& x) {
    link_->send(x, {}, {});
  }

  /// Does its part until `is_true`; a minute means never.
  template <class F>
  bool await(F is_true) {
    auto end = time_.now() + 60s;
    while (!is_true() && time_.now() < end) {
      for (auto& call : take_calls())
        call();
      worker_->progress();
      std::this_thread::yield();
    }
    return is_true();
  }

  /// What it heard at the end of its line; empty before.
  const std::string& last_words() const {
    return last_words_;
  }

private:
  doorman::owner make_owner() {
    doorman::owner out;
    out.post = [this](auto f) {
      std::lock_guard guard{mutex_};
      calls_.push_back(std::move(f));
    };
    out.open = [this](auto& x, node_id, bool, auto) { open(x); };
    out.connect_failed = [this](node_id, auto& why) { failed_ = why.message; };
    out.line_ended = [this](line_id, auto& why) { last_words_ = why; };
    return out;
  }

  void open(const acquaintance& x) {
    other_ = x;
    EXPECT_TRUE(worker_->admit(x.who.listen));
    ucx_link::owner& self = *this;
    link_ = std::make_shared<ucx_link>(self,
                                       std::make_shared<block_pool>(1 << 20));
    EXPECT_EQ(link_->connect(worker_->handle(), x.data_address), UCS_OK);
    frame_header hello;
    hello.kind = frame_class::hello;
    hello.cluster = cluster_hash("troupe");
    hello.source = incarnation_;
    hello.destination = x.who.incarnation;
    send(seal(hello));
  }

  std::vector<std::function<void()>> take_calls() {
    std::lock_guard guard{mutex_};
    return std::exchange(calls_, {});
  }

  void on_message(ucx_link&, const header_bytes&, body) override {
  }

  void on_failure(ucx_link&, ucs_status_t) override {
  }

  const uint64_t incarnation_;
  std::mutex mutex_; ///< For the calls.
  std::vector<std::function<void()>> calls_;
  std::unique_ptr<ucx_worker> worker_;
  std::shared_ptr<ucx_link> link_;
  acquaintance other_;
  size_t num_frames_ = 0;
  std::string failed_, last_words_;
  doorman doorman_; ///< Its thread posts calls.
  const clock& time_;
};

} // namespace troupe::transports
