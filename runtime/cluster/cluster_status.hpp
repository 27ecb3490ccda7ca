#pragma once

/// A company as its gateway sees it: who is there, what each part does, where
/// experts are and how much they are asked. Counts go from the start of the
/// node that counts; who wants rates asks twice.

#include "runtime/cluster/balance_status.hpp"
#include "runtime/cluster/drain_progress.hpp"
#include "runtime/cluster/request_status.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

struct node_status {
  node_id node = 0;
  std::string name;
  /// "starting", "serving", "leaving", "left", "lost", "later": not here yet.
  std::string state;
  std::string why;          ///< It was lost.
  uint64_t incarnation = 0; ///< 0: not known.
  uint64_t network_bytes_sent = 0;
};

struct rank_status {
  rank_id rank = 0;
  node_id node = 0;
  uint64_t running = 0; ///< Requests.
  uint64_t waiting = 0;
  uint64_t kv_blocks = 0;
  uint64_t kv_blocks_free = 0;
  uint64_t kv_blocks_cached = 0; ///< Of the free ones.
  uint64_t steps = 0;
  uint64_t tokens = 0; ///< Generated.
};

struct worker_status {
  worker_id worker = 0;
  node_id node = 0;
  uint64_t runs = 0; ///< Grouped ones.
  uint64_t rows = 0; ///< Pairs of a row and an expert.
};

struct expert_status {
  uint64_t rows = 0; ///< That chose it, whoever answered for it.
  std::vector<slot_address> replicas = {}; ///< That answer at present.
};

struct layer_status {
  uint32_t unit = 0;
  uint32_t layer = 0; ///< Of the model.
  std::vector<expert_status> experts;
};

struct cluster_status {
  uint32_t view = 0;            ///< 0: none yet.
  std::vector<uint32_t> epochs; ///< Of the placement of each unit.
  std::string trouble;          ///< Empty: nothing is missing.
  bool takes_requests = false;
  std::vector<node_status> nodes;
  std::vector<rank_status> ranks;
  std::vector<worker_status> workers;
  std::vector<layer_status> layers; ///< With experts.
  /// Null: experts are not balanced, or have not been so far.
  std::shared_ptr<const balance_status> balance;
  /// Likewise requests.
  std::shared_ptr<const request_status> request_balance;
  std::optional<drain_progress> drain; ///< The last that was begun.
};

} // namespace troupe
