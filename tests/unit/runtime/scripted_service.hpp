#pragma once

/// A `service` whose part is played by a test: it remembers what was asked of
/// it and says what the test tells it to say.

#include "runtime/cluster/cluster_status.hpp"
#include "runtime/service.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

namespace troupe::test {

class scripted_service : public service {
public:
  service_info info() const override {
    return {max_model_len, 2, 8, 4, 64};
  }

  service_stats stats() const override {
    std::lock_guard guard{mutex_};
    return stats_;
  }

  cluster_status cluster() const override {
    std::lock_guard lock{mutex_};
    return cluster_;
  }

  std::optional<std::string> trouble() const override {
    std::lock_guard guard{mutex_};
    return trouble_;
  }

  result<request_id> submit(generation_request request,
                            event_handler on_event) override {
    std::lock_guard guard{mutex_};
    if (refusal_)
      return *refusal_;
    auto id = ++last_;
    requests_[id] = std::move(request);
    handlers_[id] = std::move(on_event);
    changed_.notify_all();
    return id;
  }

  void cancel(request_id id) override {
    {
      std::lock_guard guard{mutex_};
      ++cancelled_[id];
      changed_.notify_all();
    }
    generation_event event;
    event.finish = finish_reason::failed;
    event.cause = failure{errc::cancelled, "cancelled"};
    tell(id, event);
  }

  /// What the API is told to say before it cancels.
  void enough(request_id id) {
    std::lock_guard guard{mutex_};
    EXPECT_FALSE(cancelled_.contains(id));
    sated_.insert(id);
  }

  void drain(const std::string& node, std::chrono::milliseconds limit,
             std::function<void(const result<void>&)> begun) override {
    std::unique_lock guard{mutex_};
    drained_.emplace_back(node, limit);
    auto answer = drain_refusal_ ? result<void>{*drain_refusal_}
                                 : result<void>{};
    guard.unlock();
    begun(answer);
  }

  void undrain(const std::string& node,
               std::function<void(const result<void>&)> done) override {
    std::unique_lock guard{mutex_};
    kept_.push_back(node);
    auto answer = drain_refusal_ ? result<void>{*drain_refusal_}
                                 : result<void>{};
    guard.unlock();
    done(answer);
  }

  // -- the script ------------------------------------------------------------

  /// Waits until `id` (they count from 1) has been submitted.
  generation_request wait_for(request_id id) {
    std::unique_lock lock{mutex_};
    EXPECT_TRUE(changed_.wait_for(lock, patience,
                                  [&] { return requests_.contains(id); }));
    return requests_[id];
  }

  void wait_for_cancel(request_id id) {
    std::unique_lock lock{mutex_};
    EXPECT_TRUE(changed_.wait_for(lock, patience,
                                  [&] { return cancelled_.contains(id); }));
  }

  /// Says `tokens` one by one, then how it ended.
  void play(request_id id, const std::vector<int32_t>& tokens,
            finish_reason finish) {
    for (auto token : tokens) {
      generation_event event;
      event.tokens = {token};
      tell(id, event);
    }
    generation_event last;
    last.finish = finish;
    tell(id, last);
  }

  void tell(request_id id, const generation_event& event) {
    event_handler handler;
    {
      std::lock_guard guard{mutex_};
      auto i = handlers_.find(id);
      if (i == handlers_.end())
        return;
      handler = i->second;
      if (event.finish != finish_reason::none)
        handlers_.erase(i);
    }
    handler(event);
  }

  void refuse(std::optional<failure> why) {
    std::lock_guard guard{mutex_};
    refusal_ = std::move(why);
  }

  void look_like(cluster_status x) {
    std::lock_guard lock{mutex_};
    cluster_ = std::move(x);
  }

  void be_in_trouble(std::optional<std::string> what) {
    std::lock_guard guard{mutex_};
    trouble_ = std::move(what);
  }

  void refuse_to_drain(failure why) {
    std::lock_guard guard{mutex_};
    drain_refusal_ = std::move(why);
  }

  std::vector<std::pair<std::string, std::chrono::milliseconds>>
  drained() const {
    std::lock_guard guard{mutex_};
    return drained_;
  }

  std::vector<std::string> kept() const {
    std::lock_guard guard{mutex_};
    return kept_;
  }

  size_t num_requests() const {
    std::lock_guard guard{mutex_};
    return requests_.size();
  }

  size_t num_cancelled() const {
    std::lock_guard guard{mutex_};
    return cancelled_.size();
  }

  /// Those of whom enough was heard.
  std::set<request_id> sated() const {
    std::lock_guard guard{mutex_};
    return sated_;
  }

  void show(const service_stats& stats) {
    std::lock_guard guard{mutex_};
    stats_ = stats;
  }

  uint32_t max_model_len = 4096;

private:
  static constexpr std::chrono::seconds patience{60};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  request_id last_ = 0;
  std::map<request_id, generation_request> requests_;
  std::map<request_id, event_handler> handlers_;
  std::map<request_id, int> cancelled_;
  std::set<request_id> sated_;
  std::optional<failure> refusal_;
  std::optional<failure> drain_refusal_;
  std::vector<std::string> kept_; ///< Who was to stay after all.
  std::vector<std::pair<std::string, std::chrono::milliseconds>> drained_;
  cluster_status cluster_;
  std::optional<std::string> trouble_;
  service_stats stats_{.generated_tokens = 1234, .kv_blocks_total = 64};
};

} // namespace troupe::test
