#pragma once

/// Calls that any thread leaves for the I/O thread, in order. Lock-free; the
/// limit on what waits is the senders' (transport::set_max_unsent).

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <vector>

namespace troupe {

class ucx_mailbox {
public:
  using call = std::function<void()>;

  ucx_mailbox() = default;
  ucx_mailbox(const ucx_mailbox&) = delete;
  ucx_mailbox& operator=(const ucx_mailbox&) = delete;

  ~ucx_mailbox() {
    take_all();
  }

  void push(call f) {
    auto x = new entry{std::move(f), head_.load()};
    while (!head_.compare_exchange_weak(x->next, x)) {
    }
  }

  bool empty() const {
    return head_.load() == nullptr;
  }

  /// Returns whether there was anything.
  bool run_all() {
    auto entries = take_all();
    for (auto& x : entries)
      x->what();
    return !entries.empty();
  }

private:
  struct entry {
    call what;
    entry* next;
  };

  std::vector<std::unique_ptr<entry>> take_all() {
    std::vector<std::unique_ptr<entry>> out;
    for (auto x = head_.exchange(nullptr); x; x = out.back()->next)
      out.emplace_back(x);
    std::ranges::reverse(out); // They were stacked.
    return out;
  }

  std::atomic<entry*> head_ = nullptr;
};

} // namespace troupe
