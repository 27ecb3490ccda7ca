#pragma once

/// Calls that any thread leaves for the I/O thread, in order. Lock-free but
/// for the memory, which is a pool's; the limit on what waits is the senders'
/// (transport::set_max_unsent).

#include "runtime/transport/block_pool.hpp"

#include <atomic>
#include <memory>

namespace troupe {

class ucx_mailbox {
public:
  explicit ucx_mailbox(std::shared_ptr<block_pool> pool)
    : pool_(std::move(pool)) {
  }

  ucx_mailbox(const ucx_mailbox&) = delete;
  ucx_mailbox& operator=(const ucx_mailbox&) = delete;

  ~ucx_mailbox() {
    for (auto x = take_all(); x;)
      x = end(x);
  }

  /// `f` is called once, without arguments. It need not be copyable.
  template <class F>
  void push(F f) {
    entry* x = pool_->make<entry_of<F>>(std::move(f));
    x->next = head_.load();
    while (!head_.compare_exchange_weak(x->next, x)) {
    }
  }

  bool empty() const {
    return head_.load() == nullptr;
  }

  /// Returns whether there was anything.
  bool run_all() {
    auto first = take_all();
    for (auto x = first; x; x = end(x))
      x->run();
    return first != nullptr;
  }

private:
  struct entry {
    entry* next = nullptr;

    virtual void run() = 0;
    virtual void unmake(block_pool& pool) = 0;

  protected:
    ~entry() = default;
  };

  template <class F>
  struct entry_of final : entry {
    explicit entry_of(F f) : what(std::move(f)) {
    }

    void run() override {
      what();
    }

    void unmake(block_pool& pool) override {
      pool.unmake(this);
    }

    F what;
  };

  /// Returns the one after it.
  entry* end(entry* x) {
    auto next = x->next;
    x->unmake(*pool_);
    return next;
  }

  /// The oldest, with the others behind it.
  entry* take_all() {
    entry* out = nullptr;
    for (auto x = head_.exchange(nullptr); x;) { // They were stacked.
      auto next = x->next;
      x->next = out;
      out = x;
      x = next;
    }
    return out;
  }

  const std::shared_ptr<block_pool> pool_;
  std::atomic<entry*> head_ = nullptr;
};

} // namespace troupe
