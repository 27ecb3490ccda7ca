#pragma once

/// Runs actors one message at a time, in one thread, on a clock that the test
/// owns; and actors that write down what they are told.

#include "actors/cast.hpp"

#include <caf/scheduler/test_coordinator.hpp>
#include <gtest/gtest.h>

#include <memory>
#include <variant>
#include <vector>

namespace troupe {

/// What an actor has heard, in order.
template <class... Message>
struct heard {
  std::vector<std::variant<Message...>> all;

  /// Returns the messages of one type.
  template <class T>
  std::vector<T> of() const {
    std::vector<T> out;
    for (auto& x : all)
      if (auto* message = std::get_if<T>(&x))
        out.push_back(*message);
    return out;
  }
};

/// A transport that writes down whom it was to give up.
class silent_network : public transport {
public:
  void send(node_id, frame_header, body) override {
  }

  void set_max_unsent(size_t) override {
  }

  void set_view(uint32_t) override {
  }

  void disconnect(node_id peer, uint64_t incarnation,
                  const std::string& why) override {
    given_up.push_back({peer, incarnation});
    reasons.push_back(why);
  }

  transport_stats stats() const override {
    return {};
  }

  std::vector<std::pair<node_id, uint64_t>> given_up;
  std::vector<std::string> reasons; ///< For each of them.
};

class actor_fixture : public testing::Test {
protected:
  struct config : caf::actor_system_config {
    config() {
      set("scheduler.policy", caf::atom("testing"));
    }
  };

  actor_fixture() {
    system_.await_actors_before_shutdown(false);
    context_.net = &net_;
    context_.counters = &counters_;
    context_.log = &log_;
    context_.here = std::make_shared<directory>();
  }

  /// Spawns an actor with the interface `Handle` that writes down what it
  /// hears.
  template <class Handle, class... Message>
  Handle spawn_listener(std::shared_ptr<heard<Message...>> out) {
    auto actor = system_.spawn([out](caf::event_based_actor*) {
      return caf::behavior{
        [out](const Message& msg) { out->all.emplace_back(msg); }...};
    });
    return caf::actor_cast<Handle>(actor);
  }

  /// The view that a cluster of so many nodes has, where node n is incarnation
  /// 100 + n.
  static std::shared_ptr<const view> view_of(size_t num_nodes) {
    auto out = std::make_shared<view>(view{1, {1}, {}});
    for (size_t n = 0; n < num_nodes; ++n)
      out->members.push_back(
        {"n" + std::to_string(n), 100 + n, {"127.0.0.1", 9}});
    return out;
  }

  /// Tells, and lets every actor work until none has anything to do.
  template <class Handle, class Message>
  void say(const Handle& target, Message message) {
    tell(target, std::move(message));
    scheduler_.run();
  }

  silent_network net_;
  node_counters counters_;
  logger log_{"test", log_level::error};
  config config_;
  caf::actor_system system_{config_};
  caf::scheduler::test_coordinator& scheduler_
    = dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler());
  node_context context_;
};

} // namespace troupe
