#pragma once

/// A company of real processes whose experts move: the first node is this
/// process, the others are started.

#include "runtime/sim/random_moves.hpp"
#include "tests/cluster/child_process.hpp"
#include "tests/cluster/company_fixture.hpp"

namespace troupe {

class moving_company {
public:
  static constexpr std::chrono::seconds patience{60};

  /// Two ranks and eight workers in four processes, each with slots to spare.
  static topology four_processes(uint32_t num_spare) {
    auto out = local(4, 2, 8);
    out.max_model_len = 512;
    out.limits.num_kv_blocks = 128;
    out.limits.max_num_batched_tokens = 128;
    out.units = out.all_units();
    out.units[0].spare_expert_slots = num_spare;
    return out;
  }

  /// Empty, or why it does not serve.
  std::string start(const topology& cluster,
                    const std::filesystem::path& model = nano_model(),
                    std::shared_ptr<const balance_settings> balance = nullptr) {
    company_options options;
    options.cluster = cluster;
    options.model_dir = model;
    options.node.num_threads = 1;
    options.node.balance = std::move(balance);
    auto made = company::start(options);
    if (!made)
      return made.why().message;
    company_ = std::move(*made);
    for (auto& node : cluster.nodes)
      names_.push_back(node.name);
    for (size_t n = 1; n < names_.size(); ++n)
      nodes_.push_back(spawn(n));
    auto ready = company_->wait_until_ready(patience);
    return ready ? "" : ready.why().message;
  }

  company& front() {
    return *company_;
  }

  /// The process of a node but the first.
  child_process& node(size_t n) {
    return nodes_.at(n - 1);
  }

  /// Another process of a node that is gone; returns once it serves.
  void begin_again(size_t n) {
    node(n) = spawn(n);
    EXPECT_TRUE(comes_true([this] { return !company_->trouble(); }));
  }

  /// Experts move to one of the nodes with workers, in turn. The new epoch.
  result<uint32_t> move(random_stream& chance) {
    return move_to(node_id(2 + num_moves_++ % 2), chance);
  }

  result<uint32_t> move_to(node_id to, random_stream& chance) {
    return company_->change_placement(
      draw_moves(*company_->placed(), to, chance), patience);
  }

private:
  child_process spawn(size_t n) {
    auto at = company_->address();
    return child_process{{"node", "--join",
                          at.host + ":" + std::to_string(at.port), "--name",
                          names_[n], "--threads", "1", "--log-level", "error"}};
  }

  std::vector<std::string> names_;
  std::vector<child_process> nodes_;
  std::unique_ptr<company> company_; ///< Goes first: it tells the others.
  uint32_t num_moves_ = 0;
};

} // namespace troupe
