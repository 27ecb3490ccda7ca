#pragma once

/// A gateway alone, whose ranks and clients are the test.

#include "tests/unit/actors/actor_fixture.hpp"

#include <map>

namespace troupe {

using commands = heard<run_request, cancel_request, move_request>;

/// The gateway and rank 0 are on node a, ranks 1 and 2 on b, one worker on c;
/// d is empty.
inline topology small_cluster() {
  topology out;
  out.nodes = {{"a", "127.0.0.1", true, true, false, {0}, {}},
               {"b", "127.0.0.1", false, false, false, {1, 2}, {}},
               {"c", "127.0.0.1", false, false, false, {}, {0}},
               {"d", "127.0.0.1", false, false, false, {}, {}}};
  return out;
}

class Gateway : public actor_fixture {
protected:
  explicit Gateway(topology cluster = small_cluster(),
                   std::shared_ptr<const request_settings> moving = {}) {
    status_->moving = std::move(moving);
    context_.here->update([this](cast_list& list) {
      list.schedulers[0] = spawn_listener<local_scheduler>(near_);
      list.peers[1] = spawn_listener<peer>(far_);
    });
    gateway_ = spawn_gateway(system_, context_, std::move(cluster), status_);
    scheduler_.run();
  }

  /// Who waits still hears of its end while there is somebody to hear it.
  ~Gateway() override {
    status_->requests.close({errc::cancelled, "the test is over"});
    // One that looks at loads again and again would do so for ever.
    caf::anon_send_exit(gateway_, caf::exit_reason::kill);
    scheduler_.run();
  }

  void accept(request_id id, std::optional<uint32_t> rank = std::nullopt) {
    auto what = std::make_shared<generation_request>();
    what->prompt = {1, 2, 3};
    what->max_tokens = 8;
    what->rank = rank;
    auto opened = status_->requests.open(
      [this, id](const generation_event& event) {
        events_[id].push_back(event);
      },
      64);
    ASSERT_TRUE(opened);
    ASSERT_EQ(*opened, id) << "they are numbered from 1";
    say(gateway_, accept_request{id, what});
  }

  void answer(request_id id, uint32_t position, std::vector<int32_t> tokens,
              finish_reason finish = finish_reason::none, uint32_t term = 1) {
    auto event = std::make_shared<generation_event>();
    event->first_position = position;
    event->tokens = std::move(tokens);
    event->finish = finish;
    say(gateway_, tokens_ready{id, term, event});
  }

  void lose(node_id node, const std::string& name) {
    say(gateway_, node_lost{node, 100u + node, name, "it fell off the stage"});
  }

  void come_back(node_id node, const std::string& name) {
    say(gateway_, node_back{node, 200u + node, name});
  }

  /// As long as a request waits for a node, and a look at it more.
  void wait_too_long() {
    for (int i = 0; i <= 4 * 60; ++i) {
      scheduler_.advance_time(std::chrono::milliseconds{250});
      scheduler_.run();
    }
  }

  std::vector<int32_t> tokens_of(request_id id) {
    std::vector<int32_t> out;
    for (auto& event : events_[id])
      out.insert(out.end(), event.tokens.begin(), event.tokens.end());
    return out;
  }

  /// Returns why the request has ended; empty while it has not.
  std::string end_of(request_id id) {
    auto& events = events_[id];
    if (events.empty() || events.back().finish == finish_reason::none)
      return "";
    auto& cause = events.back().cause;
    return cause ? std::string{to_string(cause->code)} + ": " + cause->message
                 : "well";
  }

  static std::vector<request_id> ids_of(const std::vector<run_request>& all) {
    std::vector<request_id> out;
    for (auto& x : all)
      out.push_back(x.request);
    return out;
  }

  open_requests::figures figures() const {
    return status_->requests.counted();
  }

  std::string trouble() {
    std::lock_guard lock{status_->mutex};
    return status_->trouble;
  }

  std::string refusal() {
    std::lock_guard lock{status_->mutex};
    return status_->refusal;
  }

  std::shared_ptr<commands> near_ = std::make_shared<commands>();
  std::shared_ptr<commands> far_ = std::make_shared<commands>();
  std::shared_ptr<gateway_status> status_ = std::make_shared<gateway_status>();
  std::map<request_id, std::vector<generation_event>> events_;
  gateway gateway_;
};

using ids = std::vector<request_id>;

} // namespace troupe
