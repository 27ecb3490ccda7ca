#pragma once

/// What `serve` tells the node processes that it has started to do to their
/// links, as text, and who does it there.

#include "runtime/transport/faulty_transport.hpp"

#include <string>
#include <string_view>

namespace troupe {

/// Of one fault, to one of its senders.
struct link_order {
  enum class kind : uint8_t { begin, heal, reset };

  kind what = kind::begin;
  uint64_t id = 0; ///< Of the order that began it.
  link_rule rule;  ///< Of `reset` the peer alone; of `heal` nothing.

  friend bool operator==(const link_order&, const link_order&) = default;
};

/// What an order has done so far: frames kept, or connections broken.
struct link_effect {
  uint64_t id = 0;
  uint64_t count = 0;

  friend bool operator==(const link_effect&, const link_effect&) = default;
};

std::string render(const link_order& x);
std::string render(const link_effect& x);

/// Nothing if it is not what render() writes.
std::optional<link_order> parse_link_order(std::string_view text);
std::optional<link_effect> parse_link_effect(std::string_view text);

/// Obeys orders about the links of one node. For one thread.
class link_servant {
public:
  explicit link_servant(std::shared_ptr<link_faults> links);

  void obey(const link_order& x);

  /// Lets go what is due, and tells the effects that have grown. Those for
  /// which `tell` returns false are told again.
  void act(const std::function<bool(const link_effect&)>& tell);

private:
  struct duty {
    link_faults::rule_id rule = 0;
    uint64_t num_told = 0;
  };

  const std::shared_ptr<link_faults> links_;
  std::map<uint64_t, duty> duties_; ///< By the order's id.
  std::vector<link_effect> news_;
};

} // namespace troupe
