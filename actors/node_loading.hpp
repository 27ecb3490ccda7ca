#pragma once

/// What loading a node's parts takes, on a thread that may block, and who hears
/// of it.

#include "actors/directory.hpp"

namespace troupe {

struct node_loading {
  node_id node = 0;
  uint64_t incarnation = 0; ///< Of this process.
  topology cluster;
  node_options options;
  node_progress progress;
  std::shared_ptr<directory> here;
  supervisor answers_to; ///< Hears parts_loaded.
  /// What the cluster begins with; null: what follows from the topology.
  std::shared_ptr<const placements_of_units> begins_with = {};

  /// The controller hears what is computed with before any weight is read; and
  /// where it is here and not alone, also its whole model.
  void run(const std::string& model_dir) const;
};

} // namespace troupe
