#pragma once

/// A controller alone, whose nodes and store are the test.

#include "tests/unit/actors/actor_fixture.hpp"

namespace troupe {

/// Keeps what it is given until the disk is full.
class small_store final : public state_store {
public:
  const std::optional<cluster_state>& last() const override {
    return inner_->last();
  }

  result<void> compare_and_set(uint64_t seen, cluster_state next) override {
    if (is_full)
      return failure{errc::io, "the disk is full"};
    return inner_->compare_and_set(seen, std::move(next));
  }

  bool is_full = false;

private:
  std::unique_ptr<state_store> inner_ = make_memory_store();
};

using overs = heard<process_over>;
using news = heard<welcome, view_published, cluster_started, node_lost,
                   node_back, placement_published, shut_down>;

class Controller : public actor_fixture {
protected:
  Controller() {
    cluster_ = local(3, 1, 1);
    for (auto& node : cluster_.nodes)
      names_.push_back(node.name);
    for (size_t n = 0; n < cluster_.nodes.size(); ++n)
      news_.push_back(std::make_shared<news>());
    context_.here->update([this](cast_list& list) {
      list.supervisor = spawn_listener<supervisor>(news_[0]);
      list.peers[1] = spawn_listener<peer>(news_[1]);
      list.peers[2] = spawn_listener<peer>(news_[2]);
      list.gateway = spawn_listener<gateway>(overs_);
    });
    controller_ = spawn_controller(
      system_, context_, cluster_, "/models/nano",
      [this](node_id n) { monitored_.push_back(n); }, kept_);
    scheduler_.run();
  }

  /// It may have to look at a full disk again and again.
  ~Controller() override {
    caf::anon_send_exit(controller_, caf::exit_reason::kill);
    scheduler_.run();
  }

  void join(node_id node, uint64_t incarnation) {
    say(controller_,
        node_joined{node, {names_[node], incarnation, {"127.0.0.1", 9}}});
  }

  void join(node_id node) {
    join(node, 100u + node);
  }

  void join_all() {
    for (node_id n = 0; n < 3; ++n)
      join(n);
  }

  /// The node is the controller's like in everything, or in `settings`.
  void load(node_id node, const std::string& settings = "hidden_size 64\n",
            uint64_t incarnation = 0) {
    if (incarnation == 0)
      incarnation = 100u + node;
    say(controller_, node_loaded{node, {settings, "", {}, false}, incarnation});
    say(controller_, node_loaded{node, {"", "", {}, true}, incarnation});
  }

  void read_model() {
    say(controller_, model_known{std::make_shared<const digest_table>()});
  }

  void load_all() {
    for (node_id n = 0; n < 3; ++n)
      load(n);
    read_model();
  }

  void connect_all() {
    for (node_id n = 0; n < 3; ++n)
      connect(n, 1);
  }

  void connect(node_id node, uint32_t view, uint64_t incarnation = 0) {
    say(
      controller_,
      node_connected{node, view, incarnation == 0 ? 100u + node : incarnation});
  }

  void start_all() {
    join_all();
    load_all();
    connect_all();
  }

  void suspect(node_id node, const std::string& why, node_id by = 0) {
    say(controller_, node_suspected{by, node, 100u + node, why, 100u + by});
  }

  template <class Message>
  std::vector<size_t> how_many() const {
    std::vector<size_t> out;
    for (auto& x : news_)
      out.push_back(x->template of<Message>().size());
    return out;
  }

  topology cluster_;
  std::shared_ptr<small_store> kept_ = std::make_shared<small_store>();
  std::vector<std::string> names_;
  std::vector<std::shared_ptr<news>> news_;
  std::shared_ptr<overs> overs_ = std::make_shared<overs>();
  std::vector<node_id> monitored_;
  controller controller_;
};

using counts_by_node = std::vector<size_t>;

} // namespace troupe
