#pragma once

/// The controller's judgement of what nodes compute with: who would give other
/// tokens than its own model is refused, for a reason that names what differs.
/// Statements in, verdicts out, in whatever order statements come; no clock, no
/// I/O.
///
/// A node vouches for what it holds: its settings before it loads anything,
/// then the digest of every tensor that it packed. The measure is the
/// controller's node: its settings, and a digest of every tensor of its model
/// directory.

#include "runtime/cluster/numerics.hpp"
#include "runtime/transport/transport.hpp"

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace troupe {

class fingerprint_judge {
public:
  /// Of what all parts of one node together may hold; beyond it is refused.
  static constexpr size_t max_tensors = 1 << 20;

  struct verdict {
    node_id node = 0;
    std::string refusal; ///< One sentence; empty: its tokens are ours.
  };

  /// `names` by node id; node 0 is the controller's own. Alone, it is its own
  /// measure.
  explicit fingerprint_judge(std::vector<std::string> names);

  /// A part of what a node says. Returns what follows, for that node or for
  /// others. Each process is judged once.
  std::vector<verdict> hear(node_id node, const numerics& part);

  /// Another process is that node, and has said nothing yet.
  void forget(node_id node, const std::string& name) {
    nodes_[node] = {};
    names_[node] = name;
  }

  /// The controller's whole model has been read.
  std::vector<verdict> know(const digest_table& weights);

private:
  enum class standing : uint8_t { open, accepted, refused };

  struct statement {
    numerics said; ///< All parts together.
    standing is = standing::open;
  };

  struct known_tensor {
    std::string name;
    digest bytes;
  };

  static std::optional<std::string> misuse(const numerics& said);
  verdict close(node_id node, std::string refusal);
  std::vector<verdict> judge_all();
  std::optional<std::string> judge(node_id node) const;
  std::string judge_target(node_id node) const;
  std::string judge_tensors(const numerics& said) const;

  std::vector<std::string> names_;
  std::vector<statement> nodes_;
  std::optional<std::unordered_map<uint64_t, known_tensor>> weights_;
};

} // namespace troupe
